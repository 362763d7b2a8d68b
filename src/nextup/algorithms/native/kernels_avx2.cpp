// The kernels for CPUs with AVX2 and FMA.

#if defined(__x86_64__)

#include "kernel_includes.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define NEXTUP_ISA avx2
#define NEXTUP_LANES 8
#define NEXTUP_TILE_PEOPLE 4
#define NEXTUP_BYTES 2
#include "lanes.hpp"
#include "vectors.hpp"
#include "solve_rows.hpp"
#include "dense.hpp"
#include "trace.hpp"
#include "opinion.hpp"
#include "diagonal.hpp"
#include "codes.hpp"
#include "shortlist.hpp"
#include "rank.hpp"

namespace native::avx2 {

const Kernels& kernels() {
    static const Kernels table{"avx2", solve_rows, rank, gram, diagonalise, rotate, score, trace,
                               most_allowed, add_opinion, best_allowed};
    return table;
}

}  // namespace native::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
