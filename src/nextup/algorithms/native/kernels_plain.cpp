// The kernels for any CPU: registers of four floats, which are SSE2 on x86-64 and NEON on ARM.

#include "kernel_includes.hpp"

#define NEXTUP_ISA plain
#define NEXTUP_LANES 4
#define NEXTUP_TILE_PEOPLE 4
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

namespace native::plain {

const Kernels& kernels() {
    static const Kernels table{"plain", solve_rows, rank, gram, diagonalise, rotate, score, trace,
                               most_allowed, add_opinion, best_allowed};
    return table;
}

}  // namespace native::plain
