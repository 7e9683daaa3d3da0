// PTX text to instructions. It reads what nvcc writes: a module of kernels without calls, module-scope tables, and
// inline PTX in braces.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include "device_memory.h"
#include "interpreter.h"
#include "mnemonics.h"

namespace ptxsim {
namespace {

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

// At commas that are in no brackets.
std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  for (char c : text) {
    depth += c == '{' || c == '[' || c == '(' ? 1 : c == '}' || c == ']' || c == ')' ? -1 : 0;
    if (c == ',' && depth == 0) {
      parts.push_back(trim(part));
      part.clear();
    } else {
      part += c;
    }
  }
  if (!trim(part).empty()) parts.push_back(trim(part));
  return parts;
}

// Of the bracket that opens at `open`: one behind the one that closes it.
size_t behind_braces(const std::string& text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
    if (depth == 0) return i + 1;
  }
  throw std::runtime_error("a brace is not closed");
}

struct Symbol {
  Space space;
  uint64_t place;
};

// "[.align N] .type name[count]": of a variable or parameter.
struct Declaration {
  std::string name;
  Type type;
  size_t alignment, count = 1;
  // name[]: as much as the launch says.
  bool open = false;

  size_t bytes() const { return type.bytes * count; }

  explicit Declaration(const std::string& text) {
    size_t name_start = text.find_last_of(" \t");
    const size_t bracket = text.find('[');
    if (bracket != std::string::npos) {
      name_start = text.find_last_of(" \t", bracket);
      count = std::strtoul(text.c_str() + bracket + 1, nullptr, 10);
      open = text[bracket + 1] == ']';
    }
    name = text.substr(name_start + 1, bracket == std::string::npos ? bracket : bracket - name_start - 1);
    const size_t type_start = text.rfind('.', name_start);
    type = find_type(trim(text.substr(type_start + 1, name_start - type_start - 1)));
    if (type.kind == Kind::none) throw std::runtime_error("a declaration without a type: " + text);
    const size_t align = text.find(".align");
    alignment = align != std::string::npos ? std::strtoul(text.c_str() + align + 6, nullptr, 10) : type.bytes;
  }
};

constexpr const char* kSpecialRegisters[] = {
    "%tid.x",       "%tid.y",       "%tid.z",       "%ntid.x",      "%ntid.y",   "%ntid.z", "%ctaid.x",
    "%ctaid.y",     "%ctaid.z",     "%nctaid.x",    "%nctaid.y",    "%nctaid.z", "%laneid", "%lanemask_lt",
    "%lanemask_le", "%lanemask_eq", "%lanemask_ge", "%lanemask_gt", "WARP_SZ"};

class Parser {
 public:
  explicit Parser(Module& module) : module_(module) {}

  void parse(std::string text) {
    for (size_t comment; (comment = text.find("//")) != std::string::npos;) {
      text.erase(comment, text.find('\n', comment) - comment);
    }
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find_first_of(";{\n", at);
      if (end == std::string::npos) break;
      const std::string head = trim(text.substr(at, end - at));
      if (head.empty() || starts_with(head, ".version") || starts_with(head, ".target") ||
          starts_with(head, ".address_size") || starts_with(head, ".file")) {
        at = end + 1;
      } else if (starts_with(head, ".section")) {
        at = behind_braces(text, text.find('{', at));
      } else if (head.find(".entry") != std::string::npos) {
        at = kernel(text, at);
      } else if (head.find(".func") != std::string::npos) {
        throw std::runtime_error("a device function was not inlined: " + head);
      } else {
        const size_t semicolon = text.find(';', at);
        variable(trim(text.substr(at, semicolon - at)));
        at = semicolon + 1;
      }
    }
  }

 private:
  // ".entry name(parameters) directives { body }"; returns what is behind it.
  size_t kernel(const std::string& text, size_t at) {
    const size_t name = text.find(".entry", at) + 6, open = text.find('(', at), close = text.find(')', open);
    const size_t body = text.find('{', close), end = behind_braces(text, body);
    kernel_ = &module_.kernels[trim(text.substr(name, open - name))];
    kernel_->name = trim(text.substr(name, open - name));
    kernel_symbols_.clear();
    line_ = 0;
    const size_t most = text.find(".maxntid", close);
    if (most < body) {
      unsigned x = 1, y = 1, z = 1;
      std::sscanf(text.c_str() + most, ".maxntid %u, %u, %u", &x, &y, &z);
      kernel_->most_threads = x * y * z;
    }
    for (const std::string& parameter : split(text.substr(open + 1, close - open - 1))) {
      const Declaration declaration(parameter);
      const size_t offset = place(kernel_->parameter_bytes, declaration);
      kernel_symbols_[declaration.name] = {Space::parameter, offset};
      kernel_->parameters.push_back({offset, declaration.bytes()});
    }
    statements(text.substr(body + 1, end - body - 2));
    kernel_->code.emplace_back();
    kernel_ = nullptr;
    return end;
  }

  // Where a declaration goes behind `used` bytes, which it is added to.
  static size_t place(size_t& used, const Declaration& declaration) {
    const size_t offset = (used + declaration.alignment - 1) / declaration.alignment * declaration.alignment;
    used = offset + declaration.bytes();
    return offset;
  }

  void statements(const std::string& body) {
    scopes_.assign(1, {});
    labels_.clear();
    jumps_.clear();
    std::string text;
    int vector = 0;
    for (size_t i = 0; i < body.size(); ++i) {
      const char c = body[i];
      const bool between = trim(text).empty();
      if (c == '{' && between) {
        scopes_.emplace_back();
      } else if (c == '}' && vector == 0) {
        scopes_.pop_back();
        text.clear();
      } else if (c == ';' || (c == '\n' && starts_with(trim(text), ".loc"))) {
        statement(trim(text));
        text.clear();
      } else if (c == ':' && text.find('.') == std::string::npos) {
        labels_[trim(text)] = static_cast<int>(kernel_->code.size());
        text.clear();
      } else {
        vector += c == '{' ? 1 : c == '}' ? -1 : 0;
        text += c;
      }
    }
    for (const auto& [instruction, label] : jumps_) {
      const auto found = labels_.find(label);
      if (found == labels_.end()) fail("no label " + label);
      kernel_->code[instruction].target = found->second;
    }
  }

  void statement(std::string text) {
    if (text.empty()) return;
    if (starts_with(text, ".loc")) {
      int file = 0;
      std::sscanf(text.c_str(), ".loc %d %d", &file, &line_);
      return;
    }
    if (starts_with(text, ".reg")) return registers(text);
    if (starts_with(text, ".shared") || starts_with(text, ".local")) return variable(text);
    if (starts_with(text, ".pragma")) return;
    Instruction instruction;
    instruction.line = line_;
    if (text[0] == '@') {
      const size_t end = text.find_first_of(" \t");
      instruction.predicate_negated = text[1] == '!';
      const size_t start = instruction.predicate_negated ? 2 : 1;
      instruction.predicate = find_register(text.substr(start, end - start));
      if (instruction.predicate < 0) fail("an unknown predicate: " + text);
      text = trim(text.substr(end));
    }
    const size_t end = text.find_first_of(" \t");
    decode_mnemonic(text.substr(0, end), instruction);
    const std::string rest = end == std::string::npos ? "" : trim(text.substr(end));
    if (instruction.opcode == Opcode::bra) {
      jumps_.emplace_back(kernel_->code.size(), rest);
    } else {
      for (const std::string& part : split(rest)) instruction.operands.push_back(operand(part));
    }
    kernel_->code.push_back(std::move(instruction));
  }

  // ".reg .type %p<12>" or ".reg .type a, b"
  void registers(const std::string& text) {
    for (const std::string& name : split(text.substr(text.find_first_of(" \t", text.find('.', 1))))) {
      const size_t bracket = name.find('<');
      if (bracket == std::string::npos) {
        scopes_.back()[name] = kernel_->registers++;
        continue;
      }
      const int count = std::atoi(name.c_str() + bracket + 1);
      for (int i = 0; i < count; ++i) {
        scopes_.back()[name.substr(0, bracket) + std::to_string(i)] = kernel_->registers++;
      }
    }
  }

  // Shared and local memory of a kernel; tables of the module, which live in global memory.
  void variable(const std::string& text) {
    const size_t equals = text.find('=');
    const Declaration declaration(trim(text.substr(0, equals)));
    if (kernel_ == nullptr && !declaration.open && text.find(".shared") != std::string::npos) {
      module_shared_.emplace(declaration.name, declaration);
      return;
    }
    auto& symbols = kernel_ != nullptr ? kernel_symbols_ : module_symbols_;
    Symbol& symbol = symbols[declaration.name];
    if (text.find(".shared") != std::string::npos) {
      symbol = declaration.open ? Symbol{Space::dynamic_shared, 0}
                                : Symbol{Space::shared, place(kernel_->static_shared, declaration)};
    } else if (text.find(".local") != std::string::npos) {
      symbol = {Space::local, place(kernel_->local_bytes, declaration)};
    } else {
      symbol = {Space::global, table(declaration, equals == std::string::npos ? "" : trim(text.substr(equals + 1)))};
    }
  }

  uint64_t table(const Declaration& declaration, std::string values) {
    auto* memory = static_cast<char*>(allocate(declaration.bytes()));
    if (memory == nullptr) fail("no memory for " + declaration.name);
    std::memset(memory, 0, declaration.bytes());
    if (!values.empty() && values[0] == '{') values = values.substr(1, values.rfind('}') - 1);
    size_t offset = 0;
    for (const std::string& value : split(values)) {
      const uint64_t bits = operand(value).value;
      std::memcpy(memory + offset, &bits, declaration.type.bytes);
      offset += declaration.type.bytes;
    }
    const auto address = reinterpret_cast<uint64_t>(memory);
    find_allocation(address, 1)->mark_initialised(0, declaration.bytes());
    return address;
  }

  int find_register(const std::string& name) const {
    for (size_t i = scopes_.size(); i-- > 0;) {
      const auto found = scopes_[i].find(name);
      if (found != scopes_[i].end()) return found->second;
    }
    return -1;
  }

  Operand operand(const std::string& text) {
    Operand result;
    if (text.empty()) fail("an empty operand");
    if (text == "_") return result;
    if (text[0] == '{') {
      result.form = Operand::vector;
      for (const std::string& part : split(text.substr(1, text.size() - 2))) result.elements.push_back(operand(part));
      return result;
    }
    if (text[0] == '[') return address(trim(text.substr(1, text.find(']') - 1)));
    if (text[0] == '!') {
      result = operand(text.substr(1));
      result.negated = true;
      return result;
    }
    if (const size_t bar = text.find('|'); bar != std::string::npos) {
      result = operand(trim(text.substr(0, bar)));
      result.second = find_register(trim(text.substr(bar + 1)));
      return result;
    }
    for (size_t i = 0; i < std::size(kSpecialRegisters); ++i) {
      if (text != kSpecialRegisters[i]) continue;
      result.form = Operand::special;
      result.value = i;
      return result;
    }
    if ((result.reg = find_register(text)) >= 0) {
      result.form = Operand::register_;
      return result;
    }
    result.form = Operand::immediate;
    if (starts_with(text, "0f") || starts_with(text, "0F") || starts_with(text, "0d") || starts_with(text, "0D")) {
      result.value = std::stoull(text.substr(2), nullptr, 16);
    } else if (text[0] == '-') {
      result.value = static_cast<uint64_t>(std::stoll(text, nullptr, 0));
    } else if (std::isdigit(static_cast<unsigned char>(text[0])) != 0) {
      result.value = std::stoull(text, nullptr, 0);
    } else {
      const Symbol& symbol = find_symbol(text);
      result.form = Operand::symbol;
      result.space = symbol.space;
      result.value = symbol.place;
    }
    return result;
  }

  // "register", "symbol", either with "+offset", or a number.
  Operand address(const std::string& text) {
    Operand result;
    result.form = Operand::memory;
    const size_t plus = text.find('+');
    const std::string base = trim(text.substr(0, plus));
    result.value = plus == std::string::npos ? 0 : static_cast<uint64_t>(std::stoll(trim(text.substr(plus + 1))));
    result.reg = find_register(base);
    if (result.reg < 0) {
      const Symbol& symbol = find_symbol(base);
      result.space = symbol.space;
      result.value += symbol.place;
    }
    return result;
  }

  const Symbol& find_symbol(const std::string& name) {
    // Shared memory declared outside: each kernel that names it has its own.
    if (const auto shared = module_shared_.find(name);
        shared != module_shared_.end() && kernel_symbols_.count(name) == 0) {
      kernel_symbols_[name] = {Space::shared, place(kernel_->static_shared, shared->second)};
    }
    for (const auto* symbols : {&kernel_symbols_, &module_symbols_}) {
      const auto found = symbols->find(name);
      if (found != symbols->end()) return found->second;
    }
    fail("unknown symbol " + name);
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(what + (kernel_ != nullptr ? " in " + kernel_->name : ""));
  }

  Module& module_;
  Kernel* kernel_ = nullptr;
  int line_ = 0;
  std::map<std::string, Symbol> module_symbols_, kernel_symbols_;
  std::map<std::string, Declaration> module_shared_;
  // Registers by name: of the kernel, and of the blocks in braces inside it.
  std::vector<std::map<std::string, int>> scopes_;
  std::map<std::string, int> labels_;
  // Jumps whose label may come later.
  std::vector<std::pair<size_t, std::string>> jumps_;
};

}  // namespace

Module* load_module(const std::string& text) {
  auto module = std::make_unique<Module>();
  Parser(*module).parse(text);
  return module.release();
}

}  // namespace ptxsim
