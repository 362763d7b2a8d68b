// What the compiled kernels take and give: plain arrays, owned by the caller.
//
// Each instruction set has its own copy of every kernel (kernels_*.cpp); `best_kernels` picks the
// widest one that this CPU has. Matrices are row-major; the width of factor matrices is padded
// with zeros to a multiple of 16.

#pragma once

#include <cstdint>

namespace native {

// A sparse matrix by rows. Indices lie in range: the caller has checked them.
struct Sparse {
    const std::int64_t* indptr;   // (rows + 1)
    const std::int32_t* indices;  // (nnz)
    const float* values;          // (nnz), null where the pattern alone matters
    std::int64_t rows;
};

// The least-squares systems of an ALS half-step, one for each row u:
//     (diag(dense) + ridge_u I + sum_j w_j y_j y_j^T) x_u = sum_j (t_j + target_offset) y_j
struct RowSystems {
    Sparse touches;         // values: the weights w
    const float* targets;   // (nnz): t
    float target_offset;
    const float* fixed;     // (n_fixed, width): the other side's vectors y
    std::int64_t n_fixed;
    const float* dense;     // (width): what all rows share, diagonal thanks to the rotation
    const float* ridge;     // (rows)
    int width;
    bool jacobi;            // precondition with the sparse part's diagonal as well
    int steps;              // at most so many conjugate-gradient steps
    float tolerance;        // stop when the residual's norm has fallen by this factor
    float reach;            // times the way from the start to what was found; 1: just there
    bool rounded;           // take the vectors y to half their precision, in half the time
};

// What a person's touches gave to some items' scores, (n_touches, n_items):
//     (w_t + target_offset) y_t^T (diag(dense) + ridge I + sum_s w_s y_s y_s^T)^-1 z_j
struct TraceTask {
    const float* vectors;        // (n, width) of all items
    const std::int32_t* touched; // (n_touches)
    const float* weights;        // (n_touches), positive
    std::int64_t n_touches;
    float target_offset;
    const float* dense;          // (width)
    float ridge;
    const std::int32_t* items;   // (n_items)
    std::int64_t n_items;
    int width;
};

// Inner products, best first, of each query with all items.
struct RankTask {
    const float* queries;  // (n_queries, width)
    std::int64_t n_queries;
    const float* items;    // (n_rows, width)
    std::int64_t n_rows;
    const float* norms;    // (n_items) of the candidates, descending
    const std::int32_t* ids;  // (n_items) the candidates' rows of `items`
    std::int64_t n_items;
    int width;
    Sparse excluded;       // by query; ids ascend within a row; values unused
    int limit;
};

// The `limit` largest inner products of an item's row with all others, from the matrix both ways.
struct NeighbourTask {
    Sparse by_item;  // item -> people
    Sparse by_user;  // person -> items
    int limit;
};

// Scores of people from their touches' neighbour lists.
struct NeighbourRankTask {
    Sparse touches;                   // values: the touches' weights
    const std::int32_t* neighbours;   // (n_items, per_item), -1 ends a list
    const float* similarities;        // (n_items, per_item)
    std::int64_t n_items;
    int per_item;
    int limit;
    bool exclude_seen;
};

// Several rankings of the same people, whose shares of an item add up: a part's weight times the
// item's share of the first score in the row.
struct BlendTask {
    const std::int32_t* items;  // (parts, people, depth); an item occurs once in a row
    const float* scores;        // (parts, people, depth), descending; only positive ones count
    const float* weights;       // (parts)
    int parts;
    int depth;
    std::int64_t n_items;
    Sparse excluded;            // by person; values unused
    int limit;
};

// Candidates for one list, and what they are: a sparse vector each, of length 1 or 0.
struct SpreadTask {
    const float* relevance;      // (candidates)
    const std::int64_t* starts;  // (candidates) where its vector begins
    const std::int64_t* ends;    // (candidates)
    std::int64_t candidates;
    const std::int32_t* indices; // below `columns`
    const float* values;
    std::int64_t columns;
    double diversity;            // 0..1
};

// Each item's neighbours with their similarities, both (n_items, per_item); -1 ends a list.
struct NeighbourLists {
    const std::int32_t* neighbours;
    const float* similarities;
    std::int64_t n_items;
    std::int64_t per_item;
};

struct Kernels {
    const char* name;
    void (*solve_rows)(const RowSystems&, float* solutions, int threads);
    void (*rank)(const RankTask&, std::int32_t* items, float* scores, int threads);
    // V^T V, (width, width); V B in V's place; V q, for V with `rows` rows.
    void (*gram)(const float* vectors, std::int64_t rows, int width, float* products, int threads);
    // The first `size` rows and columns of a Gram matrix: its eigenvectors as the basis' columns.
    void (*diagonalise)(const float* products, int width, int size, float* basis, float* values);
    void (*rotate)(float* vectors, std::int64_t rows, int width, const float* basis, int threads);
    void (*score)(const float* vectors, std::int64_t rows, int width, const float* query,
                  float* scores, int threads);
    void (*trace)(const TraceTask&, float* parts);
    // The greatest allowed score; 0 where none is above 0.
    float (*most_allowed)(const float* scores, const bool* allowed, std::int64_t n);
    // Adds to each total the item's score, scaled so that the best allowed one counts `weight`;
    // negative ones add nothing. Gives the scale, 0 where no allowed score is above 0.
    double (*add_opinion)(const float* scores, const bool* allowed, std::int64_t n, double weight,
                          float* total);
    // The best `limit` allowed and finite scores.
    void (*best_allowed)(const float* scores, const bool* allowed, std::int64_t n, int limit,
                         std::int32_t* items, float* best);
};

const Kernels& best_kernels();

// Kernels that wide registers do not help (sparse.cpp).
void transpose(const Sparse& matrix, std::int64_t columns, std::int64_t* indptr,
               std::int32_t* indices, float* values, int threads);
void neighbours(const NeighbourTask&, std::int32_t* items, float* scores, int threads);
void rank_neighbours(const NeighbourRankTask&, std::int32_t* items, float* scores, int threads);

// The best `limit` of each row of scores (sparse.cpp); infinite scores and NaN are no candidates.
void select_rows(const float* scores, const Sparse& excluded, std::int64_t columns, int limit,
                 std::int32_t* items, float* best, int threads);

// The best `limit` sums of each person, and the part that gave most to each (sparse.cpp).
void blend(const BlendTask&, std::int32_t* items, float* scores, std::int8_t* sources,
           int threads);

// For one person's list (one_list.cpp).
// Each place maximises (1 - diversity) relevance / best - diversity x nearest likeness so far.
void spread(const SpreadTask&, std::int32_t* chosen, std::int64_t places);
// Of each column of `given`, (touches, places), the rows with the greatest shares of its positive
// sum, and the shares; `named` <= touches.
void main_reasons(const float* given, std::int64_t touches, std::int64_t places,
                  std::int64_t named, std::int32_t* order, float* shares);
void add_neighbours(const NeighbourLists&, const std::int32_t* touched, const float* weights,
                    std::int64_t touches, float* scores);
// What each touch adds to the scores of some items, (touches, places).
void neighbour_parts(const NeighbourLists&, const std::int32_t* touched, const float* weights,
                     std::int64_t touches, const std::int32_t* items, std::int64_t places,
                     float* parts);

}  // namespace native
