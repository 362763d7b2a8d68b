// The kernels for CPUs with AVX-512.

#if defined(__x86_64__)

#include "kernel_includes.hpp"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#endif

#define NEXTUP_ISA avx512
#define NEXTUP_LANES 16
#define NEXTUP_TILE_PEOPLE 8
#define NEXTUP_BYTES 3
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

namespace native::avx512 {

const Kernels& kernels() {
    static const Kernels table{"avx512", solve_rows, rank, gram, diagonalise, rotate, score, trace,
                               most_allowed, add_opinion, best_allowed};
    return table;
}

}  // namespace native::avx512

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif
