// Codes that between them take every path of the kernels.
#pragma once

#include <cstddef>
#include <vector>

struct CodeSetting {
  int dimension, pulses;
  size_t levels;
};

// ThreadSanitizer is too slow for all cases, and threads meet in the same ways in all of them.
#if defined(__SANITIZE_THREAD__)
constexpr bool few_cases = true;
#else
constexpr bool few_cases = false;
#endif

// The first of them only, where cases must be few.
template <class Case>
std::vector<Case> cases(std::vector<Case> all, size_t few = 1) {
  if (few_cases) all.erase(all.begin() + static_cast<std::ptrdiff_t>(few), all.end());
  return all;
}

// Few and many pulses, codes of up to 32 and up to 64 bits.
inline std::vector<CodeSetting> code_settings() {
  return cases<CodeSetting>({{8, 12, 7},
                             {16, 24, 7},
                             {8, 1, 1},
                             {8, 6, 2},
                             {8, 25, 13},
                             {8, 33, 3},
                             {8, 128, 9},
                             {8, 474, 40},
                             {8, 700, 1},
                             {16, 1, 3},
                             {16, 11, 3},
                             {16, 31, 1},
                             {16, 36, 9},
                             {16, 49, 14}},
                            2);
}

inline std::vector<float> some_levels(size_t count) {
  std::vector<float> levels;
  for (size_t l = 0; l < count; ++l) levels.push_back(1 + 0.37f * static_cast<float>(l));
  return levels;
}
