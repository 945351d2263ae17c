#include "core/simd.h"

#include <array>

#include "core/error.h"

namespace ebb {

Simd best_simd() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Simd::scalar;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  return avx512 ? Simd::avx512 : Simd::avx2;
#else
  return Simd::scalar;
#endif
}

std::string to_text(Simd level) {
  constexpr std::array names{"scalar", "avx2", "avx512"};
  return names[static_cast<std::size_t>(level)];
}

Simd parse_simd(std::string_view text) {
  if (text == "auto") return best_simd();
  for (const Simd level : {Simd::scalar, Simd::avx2, Simd::avx512}) {
    if (text != to_text(level)) continue;
    require<ConfigError>(level <= best_simd(), "[simd] this machine does not run ", text,
                         "; its best level is ", best_simd(), ". Use --simd auto");
    return level;
  }
  const std::array<std::string, 4> known{"auto", "scalar", "avx2", "avx512"};
  throw ConfigError(unknown_word("SIMD level", text, known));
}

}  // namespace ebb
