// Bindings of the plain encoders (integer, MXINT) and of decoding rows of any matrix.
#include "addon/environment.h"
#include "addon/job.h"
#include "addon/register.h"
#include "addon/weights.h"
#include "core/matrix/int8_matrix.h"
#include "core/matrix/integer_matrix.h"
#include "core/matrix/mxint_matrix.h"

namespace pyramidion {
namespace {

struct Values {
  size_t rows, columns;
  Span<float> values;

  explicit Values(Call& call)
      : rows(call.argument(1, "rows").integer(1, kMostRows)),
        columns(call.argument(2, "columns").integer(1, kMostRows)),
        values(call.argument(0, "values").array<float>(checked_product(rows, columns, "values"))) {}
};

Operation integer_encode(Call& call) {
  const Values input(call);
  const Argument options = call.argument(3, "settings");
  IntegerSettings settings{};
  settings.bits = static_cast<unsigned>(options["bits"].integer(1, 8));
  settings.group_size = options["groupSize"].integer(1, kMostRows);
  settings.symmetric = options["symmetric"].boolean();
  settings.group_size = std::min(settings.group_size, input.columns);
  const auto stored = std::make_shared<IntegerRows>();
  Operation operation;
  operation.work = [=] {
    *stored = encode_integer_rows(input.values.data, input.rows, input.columns, settings, shared_pool());
  };
  operation.result = [=](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result["codes"] = to_typed_array(env, stored->codes);
    result["scales"] = to_typed_array(env, stored->scales);
    if (!settings.symmetric) result["minimums"] = to_typed_array(env, stored->minimums);
    return result;
  };
  return operation;
}

Operation mxint_encode(Call& call) {
  const Values input(call);
  const Argument options = call.argument(3, "settings");
  MxintSettings settings{};
  settings.bits = static_cast<unsigned>(options["bits"].integer(2, 8));
  settings.block_size = options["blockSize"].integer(1, kMostRows);
  const auto stored = std::make_shared<MxintRows>();
  Operation operation;
  operation.work = [=] {
    *stored = encode_mxint_rows(input.values.data, input.rows, input.columns, settings, shared_pool());
  };
  operation.result = [=](Napi::Env env) -> Napi::Value {
    Napi::Object result = Napi::Object::New(env);
    result["codes"] = to_typed_array(env, stored->codes);
    result["exponents"] = to_typed_array(env, stored->exponents);
    return result;
  };
  return operation;
}

Operation decode_rows(Call& call) {
  const Weights weights = parse_weights(call.argument(0, "weights"));
  const size_t first = call.argument(1, "firstRow").integer(0, weights.rows);
  const size_t count = call.argument(2, "rowCount").integer(0, weights.rows - first);
  const Span<float> out = call.argument(3, "out").array<float>(checked_product(count, weights.columns, "out"));
  Operation operation;
  operation.work = [=] {
    const auto matrix = weights.build(first, count);
    shared_pool().parallel_for(count, 16, [&](size_t begin, size_t end) {
      matrix->decode_rows(begin, end - begin, out.data + begin * weights.columns, weights.columns);
    });
  };
  return operation;
}

Operation int8_blocks(Call& call) {
  const Argument argument = call.argument(0, "weights");
  const Weights weights = parse_weights(argument);
  if (weights.columns % Int8Matrix::kBlock != 0) argument["columns"].reject_length(weights.columns, "a multiple of 32");
  const auto blocks = std::make_shared<std::vector<uint8_t>>();
  Operation operation;
  operation.work = [=] { *blocks = encode_int8_blocks(*weights.build(0, weights.rows), shared_pool()); };
  operation.result = [=](Napi::Env env) -> Napi::Value { return to_typed_array(env, *blocks); };
  return operation;
}

}  // namespace

void register_matrices(Napi::Object exports) {
  export_both(exports, "integerEncode", integer_encode);
  export_both(exports, "mxintEncode", mxint_encode);
  export_both(exports, "decodeRows", decode_rows);
  export_both(exports, "int8Blocks", int8_blocks);
}

}  // namespace pyramidion
