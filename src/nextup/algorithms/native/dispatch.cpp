// Which copy of the kernels runs: decided once, by asking the CPU.
//
// NEXTUP_NATIVE=avx2 or =plain asks for a narrower one than the CPU could run.

#include <cstdlib>
#include <cstring>

#include "kernels.hpp"

namespace native {

namespace plain {
const Kernels& kernels();
}

#if defined(__x86_64__)

namespace avx2 {
const Kernels& kernels();
}
namespace avx512 {
const Kernels& kernels();
}

const Kernels& best_kernels() {
    static const Kernels& best = [&]() -> const Kernels& {
        const char* asked = std::getenv("NEXTUP_NATIVE");
        const bool want_plain = asked && std::strcmp(asked, "plain") == 0;
        const bool want_avx2 = asked && std::strcmp(asked, "avx2") == 0;
        if (want_plain) return plain::kernels();
        if (!want_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
            return avx512::kernels();
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            return avx2::kernels();
        return plain::kernels();
    }();
    return best;
}

#else

const Kernels& best_kernels() { return plain::kernels(); }

#endif

}  // namespace native
