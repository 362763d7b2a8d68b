// Which copy of the kernels runs: decided once, by asking the CPU.

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
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
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
