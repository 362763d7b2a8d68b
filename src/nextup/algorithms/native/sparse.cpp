// Kernels on sparse matrices, where memory and not arithmetic sets the pace.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "candidates.hpp"
#include "kernels.hpp"
#include "threads.hpp"

namespace native {

namespace {

// A dense vector that remembers which of its entries are in use.
class Accumulator {
public:
    explicit Accumulator(std::int64_t size) : sums_(size, 0.0f), used_(size, false) {}

    void add(std::int32_t at, float value) {
        if (!used_[at]) {
            used_[at] = true;
            touched_.push_back(at);
        }
        sums_[at] += value;
    }

    bool holds(std::int32_t at) const { return used_[at]; }

    std::int64_t size() const { return std::int64_t(touched_.size()); }

    // Hands every entry in use to `take(index, sum)` and starts afresh.
    template <class Take>
    void drain(const Take& take) {
        for (const std::int32_t at : touched_) {
            take(at, sums_[at]);
            sums_[at] = 0.0f;
            used_[at] = false;
        }
        touched_.clear();
    }

private:
    std::vector<float> sums_;
    std::vector<char> used_;
    std::vector<std::int32_t> touched_;
};

}  // namespace

// A counting sort by column. Each thread owns a range of rows and writes, within each column,
// behind the threads before it: the result is in row order whatever the number of threads.
void transpose(const Sparse& matrix, std::int64_t columns, std::int64_t* indptr,
               std::int32_t* indices, float* values, int threads) {
    const std::int64_t nnz = matrix.indptr[matrix.rows];
    // A thread's counters must stay small beside the matrix itself.
    const std::int64_t parts = std::max<std::int64_t>(
        1, std::min<std::int64_t>(threads, nnz / std::max<std::int64_t>(4 * columns, 1)));
    std::vector<std::int64_t> bounds(parts + 1, matrix.rows);  // of rows, for equal shares of nnz
    for (std::int64_t part = 0; part < parts; ++part)
        bounds[part] = std::lower_bound(matrix.indptr, matrix.indptr + matrix.rows,
                                        nnz / parts * part) -
                       matrix.indptr;
    std::vector<std::int64_t> places(parts * columns, 0);  // counts, then where to write next

    share_out(parts, 1, threads, [&] {
        return [&](std::int64_t part, std::int64_t) {
            std::int64_t* counts = places.data() + part * columns;
            for (std::int64_t at = matrix.indptr[bounds[part]];
                 at < matrix.indptr[bounds[part + 1]]; ++at)
                ++counts[matrix.indices[at]];
        };
    });
    std::int64_t before = 0;
    for (std::int64_t column = 0; column < columns; ++column) {
        indptr[column] = before;
        for (std::int64_t part = 0; part < parts; ++part) {
            const std::int64_t count = places[part * columns + column];
            places[part * columns + column] = before;
            before += count;
        }
    }
    indptr[columns] = before;
    share_out(parts, 1, threads, [&] {
        return [&](std::int64_t part, std::int64_t) {
            std::int64_t* next = places.data() + part * columns;
            for (std::int64_t row = bounds[part]; row < bounds[part + 1]; ++row)
                for (std::int64_t at = matrix.indptr[row]; at < matrix.indptr[row + 1]; ++at) {
                    const std::int64_t to = next[matrix.indices[at]]++;
                    indices[to] = std::int32_t(row);
                    values[to] = matrix.values[at];
                }
        };
    });
}

void neighbours(const NeighbourTask& task, std::int32_t* items, float* scores, int threads) {
    share_out(task.by_item.rows, 8, threads, [&] {
        return [&, sums = Accumulator(task.by_item.rows), best = Candidates(task.limit)](
                   std::int64_t first, std::int64_t last) mutable {
            for (std::int64_t item = first; item < last; ++item) {
                for (std::int64_t at = task.by_item.indptr[item];
                     at < task.by_item.indptr[item + 1]; ++at) {
                    const std::int32_t user = task.by_item.indices[at];
                    const float weight = task.by_item.values[at];
                    for (std::int64_t to = task.by_user.indptr[user];
                         to < task.by_user.indptr[user + 1]; ++to)
                        sums.add(task.by_user.indices[to], weight * task.by_user.values[to]);
                }
                best.clear();
                sums.drain([&](std::int32_t other, float score) {
                    if (other != item && score > 0 && score >= best.threshold())
                        best.add(score, other);
                });
                best.write(items + item * task.limit, scores + item * task.limit);
            }
        };
    });
}

// Items that no neighbour list reaches score 0 and so come last, by index.
void rank_neighbours(const NeighbourRankTask& task, std::int32_t* items, float* scores,
                     int threads) {
    share_out(task.touches.rows, 32, threads, [&] {
        return [&, sums = Accumulator(task.n_items), best = Candidates(task.limit)](
                   std::int64_t first, std::int64_t last) mutable {
            for (std::int64_t row = first; row < last; ++row) {
                const std::int32_t* seen = task.touches.indices + task.touches.indptr[row];
                const std::int32_t* seen_end = task.touches.indices + task.touches.indptr[row + 1];
                const auto is_out = [&](std::int32_t item) {
                    return task.exclude_seen && std::binary_search(seen, seen_end, item);
                };
                const float* weight = task.touches.values + task.touches.indptr[row];
                for (const std::int32_t* item = seen; item < seen_end; ++item, ++weight) {
                    const std::int64_t list = std::int64_t(*item) * task.per_item;
                    for (int i = 0; i < task.per_item && task.neighbours[list + i] >= 0; ++i)
                        sums.add(task.neighbours[list + i], *weight * task.similarities[list + i]);
                }
                best.clear();
                const bool few = sums.size() < task.limit + (seen_end - seen);
                for (std::int32_t item = 0; few && item < task.n_items; ++item) sums.add(item, 0);
                sums.drain([&](std::int32_t item, float score) {
                    if (score >= best.threshold() && !is_out(item)) best.add(score, item);
                });
                best.write(items + row * task.limit, scores + row * task.limit);
            }
        };
    });
}

namespace {

// What somewhat more than `limit` of the row's scores reach, as a sample tells; -inf where so few
// are wanted that looking at a sample would cost more than it saves.
class LikelyThreshold {
public:
    LikelyThreshold(std::int64_t columns, int limit)
        : stride_(std::max<std::int64_t>(columns / kSample, 1)), sample_(columns / stride_) {
        const double expected = double(limit) / double(stride_);
        if (stride_ >= kSparsest && expected >= kFewest)
            place_ = std::int64_t(expected + 4 * std::sqrt(expected));
    }

    float of(const float* row) {
        if (place_ >= std::int64_t(sample_.size())) return -std::numeric_limits<float>::infinity();
        for (std::size_t i = 0; i < sample_.size(); ++i) {
            const float score = row[std::int64_t(i) * stride_];
            sample_[i] = std::isfinite(score) ? score : -std::numeric_limits<float>::infinity();
        }
        std::nth_element(sample_.begin(), sample_.begin() + place_, sample_.end(),
                         std::greater<>());
        return sample_[place_];
    }

private:
    static constexpr std::int64_t kSample = 1024;
    static constexpr std::int64_t kSparsest = 4;  // a denser sample is most of the row
    static constexpr double kFewest = 8;
    std::int64_t stride_;
    std::int64_t place_ = std::numeric_limits<std::int64_t>::max();
    std::vector<float> sample_;
};

}  // namespace

void select_rows(const float* scores, const Sparse& excluded, std::int64_t columns, int limit,
                 std::int32_t* items, float* best, int threads) {
    share_out(excluded.rows, 16, threads, [&] {
        return [&, candidates = Candidates(limit), likely = LikelyThreshold(columns, limit)](
                   std::int64_t first, std::int64_t last) mutable {
            for (std::int64_t row = first; row < last; ++row) {
                const float* score = scores + row * columns;
                const std::int32_t* out = excluded.indices + excluded.indptr[row];
                const std::int32_t* out_end = excluded.indices + excluded.indptr[row + 1];
                // Items ascend: one with the threshold's own score comes behind those kept.
                const auto collect = [&](float least) {
                    candidates.clear();
                    for (std::int64_t item = 0; item < columns; ++item)
                        if (score[item] >= least && score[item] > candidates.threshold() &&
                            std::isfinite(score[item]) &&
                            !std::binary_search(out, out_end, std::int32_t(item)))
                            candidates.add(score[item], std::int32_t(item));
                };
                const float least = likely.of(score);
                collect(least);
                if (candidates.size() < limit && std::isfinite(least))
                    collect(-std::numeric_limits<float>::infinity());
                candidates.write(items + row * limit, best + row * limit);
            }
        };
    });
}

// Sums grow part by part, as a sum over dense rows does: the last bit is the same.
void blend(const BlendTask& task, std::int32_t* items, float* scores, std::int8_t* sources,
           int threads) {
    const std::int64_t people = task.excluded.rows;
    share_out(people, 32, threads, [&] {
        return [&, sums = Accumulator(task.n_items), most = std::vector<float>(task.n_items),
                origin = std::vector<std::int8_t>(task.n_items), best = Candidates(task.limit)](
                   std::int64_t first, std::int64_t last) mutable {
            for (std::int64_t person = first; person < last; ++person) {
                for (int part = 0; part < task.parts; ++part) {
                    const std::int64_t row = (part * people + person) * task.depth;
                    for (std::int64_t at = row; at < row + task.depth; ++at) {
                        if (!(task.scores[at] > 0)) break;
                        const std::int32_t item = task.items[at];
                        const float share = task.weights[part] * (task.scores[at] / task.scores[row]);
                        if (!(share > 0)) break;  // too little for a number
                        if (!sums.holds(item) || share > most[item]) {
                            most[item] = share;
                            origin[item] = std::int8_t(part);
                        }
                        sums.add(item, share);
                    }
                }
                const std::int32_t* out = task.excluded.indices + task.excluded.indptr[person];
                const std::int32_t* out_end =
                    task.excluded.indices + task.excluded.indptr[person + 1];
                best.clear();
                sums.drain([&](std::int32_t item, float score) {
                    if (score >= best.threshold() && std::isfinite(score) &&
                        !std::binary_search(out, out_end, item))
                        best.add(score, item);
                });
                const std::int64_t list = person * task.limit;
                best.write(items + list, scores + list);
                for (std::int64_t at = list; at < list + task.limit; ++at)
                    sources[at] = items[at] < 0 ? std::int8_t(-1) : origin[items[at]];
            }
        };
    });
}

}  // namespace native
