// What one person's list costs between the scores and the answer: steps too short for threads and
// too many for an interpreter.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels.hpp"

namespace native {

void spread(const SpreadTask& task, std::int32_t* chosen, std::int64_t places) {
    const std::int64_t n = task.candidates;
    float best = 0.0f;
    for (std::int64_t at = 0; at < n; ++at) best = std::max(best, task.relevance[at]);
    std::vector<double> worth(n), nearest(n);
    for (std::int64_t at = 0; at < n; ++at)
        worth[at] = float(1.0 - task.diversity) *
                    (best > 0 ? task.relevance[at] / best : task.relevance[at]);
    std::vector<float> picked(task.columns);
    for (std::int64_t place = 0; place < places; ++place) {
        std::int64_t pick = 0;
        double most = -std::numeric_limits<double>::infinity();
        for (std::int64_t at = 0; at < n; ++at) {
            const double left = worth[at] - nearest[at] * task.diversity;
            if (left > most) most = left, pick = at;
        }
        chosen[place] = std::int32_t(pick);
        worth[pick] = -std::numeric_limits<double>::infinity();
        for (auto at = task.starts[pick]; at < task.ends[pick]; ++at)
            picked[task.indices[at]] = task.values[at];
        for (std::int64_t other = 0; other < n; ++other) {
            float likeness = 0.0f;
            for (auto at = task.starts[other]; at < task.ends[other]; ++at)
                likeness += task.values[at] * picked[task.indices[at]];
            nearest[other] = std::max(nearest[other], double(likeness));
        }
        for (auto at = task.starts[pick]; at < task.ends[pick]; ++at)
            picked[task.indices[at]] = 0.0f;
    }
}

void main_reasons(const float* given, std::int64_t touches, std::int64_t places,
                  std::int64_t named, std::int32_t* order, float* shares) {
    std::vector<float> part(touches);
    for (std::int64_t place = 0; place < places; ++place) {
        float sum = 0.0f;
        for (std::int64_t touch = 0; touch < touches; ++touch)
            sum += part[touch] = std::max(given[touch * places + place], 0.0f);
        for (std::int64_t nth = 0; nth < named; ++nth) {
            const auto most = std::max_element(part.begin(), part.end());
            order[place * named + nth] = std::int32_t(most - part.begin());
            shares[place * named + nth] = sum > 0 ? *most / sum : 0.0f;
            *most = -1.0f;
        }
    }
}

void add_neighbours(const NeighbourLists& lists, const std::int32_t* touched, const float* weights,
                    std::int64_t touches, float* scores) {
    for (std::int64_t touch = 0; touch < touches; ++touch) {
        const std::int64_t row = touched[touch] * lists.per_item;
        for (std::int64_t at = row; at < row + lists.per_item && lists.neighbours[at] >= 0; ++at)
            scores[lists.neighbours[at]] += weights[touch] * lists.similarities[at];
    }
}

void neighbour_parts(const NeighbourLists& lists, const std::int32_t* touched, const float* weights,
                     std::int64_t touches, const std::int32_t* items, std::int64_t places,
                     float* parts) {
    std::vector<std::int32_t> place_of(lists.n_items, -1);
    for (std::int64_t place = places - 1; place >= 0; --place)
        place_of[items[place]] = std::int32_t(place);
    std::fill(parts, parts + touches * places, 0.0f);
    for (std::int64_t touch = 0; touch < touches; ++touch) {
        const std::int64_t row = touched[touch] * lists.per_item;
        float* own = parts + touch * places;
        for (std::int64_t at = row; at < row + lists.per_item && lists.neighbours[at] >= 0; ++at) {
            const std::int32_t place = place_of[lists.neighbours[at]];
            if (place >= 0) own[place] = weights[touch] * lists.similarities[at];
        }
        for (std::int64_t place = 0; place < places; ++place)  // an item asked for twice
            own[place] = own[place_of[items[place]]];
    }
}

}  // namespace native
