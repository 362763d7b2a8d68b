// Which copy of the kernels runs: decided once, by asking the CPU.
//
// NEXTUP_NATIVE=avx2 or =plain asks for a narrower one than the CPU could run, =avx512 for one
// without the sums of products of bytes (VNNI) that newer CPUs have.

#include <cstdlib>
#include <cstring>

#include "kernels.hpp"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

#include <asm/hwcap.h>
#endif

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
namespace avx512vnni {
Kernels with_ranking_of(Kernels others);
}

namespace {

Kernels widest() {
    const char* given = std::getenv("NEXTUP_NATIVE");
    const auto asked_for = [&](const char* name) { return given && !std::strcmp(given, name); };
    if (asked_for("plain")) return plain::kernels();
    if (!asked_for("avx2") && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw")) {
        if (!asked_for("avx512") && __builtin_cpu_supports("avx512vnni"))
            return avx512vnni::with_ranking_of(avx512::kernels());
        return avx512::kernels();
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::kernels();
    return plain::kernels();
}

}  // namespace

#elif defined(__aarch64__)

namespace neon {
Kernels with_ranking_of(Kernels others);
}

namespace {

bool has_dot_products() {
#if defined(__APPLE__)
    return true;  // every Apple processor that runs macOS
#elif defined(__linux__)
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
    return false;
#endif
}

Kernels widest() {
    const char* given = std::getenv("NEXTUP_NATIVE");
    if ((given && !std::strcmp(given, "plain")) || !has_dot_products()) return plain::kernels();
    return neon::with_ranking_of(plain::kernels());
}

}  // namespace

#else

namespace {

Kernels widest() { return plain::kernels(); }

}  // namespace

#endif

const Kernels& best_kernels() {
    static const Kernels best = widest();
    return best;
}

}  // namespace native
