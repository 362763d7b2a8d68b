// The kernels for ARM CPUs with dot products of bytes: as for any CPU, but for ranking.

#if defined(__aarch64__)

#include "kernel_includes.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#define NEXTUP_ISA neon
#define NEXTUP_LANES 4
#define NEXTUP_TILE_PEOPLE 4
#define NEXTUP_BYTES 4
#include "lanes.hpp"
#include "codes.hpp"
#include "shortlist.hpp"
#include "rank.hpp"

namespace native::neon {

Kernels with_ranking_of(Kernels others) {
    others.name = "neon";
    others.rank = rank;
    return others;
}

}  // namespace native::neon

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
