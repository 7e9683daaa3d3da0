// The one exception type of the core. The binding turns it into the JavaScript error class with the same code.
#pragma once

#include <stdexcept>
#include <string>

namespace pyramidion {

class Error : public std::runtime_error {
 public:
  // code: one of the ErrorCode strings of lib/errors.ts; must be a string literal.
  Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const { return code_; }

 private:
  const char* code_;
};

}  // namespace pyramidion
