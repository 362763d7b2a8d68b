// The kernels for CPUs with AVX-512 and its products of bytes: the rest of that table stays as it is.

#if defined(__x86_64__)

#include "kernel_includes.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx512vnni,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx512vnni,avx2,fma")
#endif

#define NEXTUP_ISA avx512vnni
#define NEXTUP_LANES 16
#define NEXTUP_TILE_PEOPLE 8
#define NEXTUP_BYTES 3
#define NEXTUP_VNNI
#include "lanes.hpp"
#include "codes.hpp"
#include "shortlist.hpp"
#include "rank.hpp"

namespace native::avx512vnni {

Kernels with_ranking_of(Kernels others) {
    others.rank = rank;
    return others;
}

}  // namespace native::avx512vnni

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
