// Binding of the upload of a layer to the GPU.
#include "addon/device_product.h"

#include "addon/background_release.h"
#include "addon/environment.h"
#include "addon/job.h"
#include "addon/pvq.h"
#include "addon/register.h"
#include "addon/rotation.h"
#include "addon/weights.h"
#include "core/matrix/factor_matrix.h"
#include "cuda/linear/pvq_product.h"

namespace pyramidion {
namespace {

using Held = std::shared_ptr<const DeviceProduct>;

constexpr napi_type_tag kDeviceProductTag = {0x1f6b0c94d8e34a52, 0xb07de5a3916c28f4};

// The deleter of a product, whoever drops it last.
void release(const DeviceProduct* product) {
  BackgroundRelease::shared().run([product] { delete product; });
}

// What the job reads, all of it alive until it is done.
struct Upload {
  explicit Upload(PvqLayout layout_of_rows) : layout(std::move(layout_of_rows)) {}

  PvqLayout layout;
  std::shared_ptr<const Rotation> rotation;
  cuda::PvqProductParts parts{};
};

std::shared_ptr<Upload> parse_upload(const Argument& argument) {
  const Argument weights = argument["weights"];
  if (weights["format"].string() != "pvq") {
    throw Error("UNSUPPORTED_FORMAT", "only pvq weights have CUDA kernels, not " + weights["format"].string());
  }
  const size_t rows = weights["rows"].integer(1, kMostRows), columns = weights["columns"].integer(1, kMostRows);
  const auto upload =
      std::make_shared<Upload>(PvqLayout(columns, pvq_segments(weights["segments"]), shared_pyramids()));
  cuda::PvqProductParts& parts = upload->parts;
  parts.rows = rows;
  parts.layout = &upload->layout;
  parts.codes = weights["codes"].array<uint8_t>(checked_product(rows, upload->layout.row_bytes, "weights")).data;
  parts.row_scale = weights["rowScale"].array<uint16_t>(rows).data;
  if (argument["rotation"].present()) {
    upload->rotation = rotation_of(argument["rotation"]);
    parts.rotation = upload->rotation.get();
    if (parts.rotation->width() != columns) {
      argument["rotation"].reject_length(parts.rotation->width(), "weights.columns for its width");
    }
  }
  if (argument["bias"].present()) parts.bias = argument["bias"].array<float>(rows).data;
  parts.int8 = argument["int8"].boolean();
  parts.expanded = argument["expanded"].boolean();
  const Argument low_rank = argument["lowRank"];
  if (low_rank.present()) {
    const size_t rank = parts.rank = low_rank["rank"].integer(1, columns);
    const auto factor = [&](const char* values, const char* scales, size_t factor_rows, size_t factor_columns) {
      const size_t blocks = FactorMatrix::blocks(factor_columns);
      return cuda::FactorView{
          low_rank[values].array<int8_t>(checked_product(factor_rows, factor_columns, "lowRank")).data,
          low_rank[scales].array<uint16_t>(factor_rows * blocks).data};
    };
    parts.a = factor("a", "aScales", rank, columns);
    parts.b = factor("b", "bScales", rows, rank);
  }
  return upload;
}

Operation cuda_product(Call& call) {
  const auto upload = parse_upload(call.argument(0, "parts"));
  const auto product = std::make_shared<Held>();
  Operation operation;
  operation.work = [=] { *product = Held(new cuda::PvqProduct(upload->parts, shared_pool()), release); };
  operation.result = [=](Napi::Env env) -> Napi::Value {
    auto external = Napi::External<Held>::New(env, new Held(*product), [](Napi::Env, Held* held) { delete held; });
    external.TypeTag(&kDeviceProductTag);
    return external;
  };
  return operation;
}

}  // namespace

std::shared_ptr<const DeviceProduct> device_product(const Argument& argument) {
  if (!argument.value().IsExternal()) argument.reject("a device product");
  const auto external = argument.value().As<Napi::External<Held>>();
  if (!external.CheckTypeTag(&kDeviceProductTag)) argument.reject("a device product");
  return *external.Data();
}

void register_device_product(Napi::Object exports) { export_asynchronous(exports, "cudaProductAsync", cuda_product); }

}  // namespace pyramidion
