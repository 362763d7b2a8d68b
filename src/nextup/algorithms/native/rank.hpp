// Ranking everyone: a matrix product whose result is never stored.
//
// Items come by descending norm. A tile of scores (some people x some items) lives in registers
// and is compared with each person's threshold at once; and when no person of a group can reach
// the threshold with a block's largest norm (Cauchy-Schwarz), the rest of the items is skipped.

namespace native::NEXTUP_ISA {

constexpr int tile_people = NEXTUP_TILE_PEOPLE;
constexpr int tile_items = 3 * W;
constexpr int team_people = 64;  // share a block of items while it is in the first-level cache

// Blocks of `tile_items` vectors, each by columns, so that a tile reads them in sequence.
inline std::vector<float> pack_items(const RankTask& task, int threads) {
    const std::int64_t blocks = (task.n_items + tile_items - 1) / tile_items;
    std::vector<float> packed(std::size_t(blocks) * task.width * tile_items);
    share_out(blocks, 16, threads, [&] {
        return [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t at = first * tile_items;
                 at < std::min(last * tile_items, task.n_items); ++at) {
                const float* from = task.items + std::int64_t(task.ids[at]) * task.width;
                float* to = packed.data() + at / tile_items * task.width * tile_items +
                            at % tile_items;
                for (int d = 0; d < task.width; ++d) to[d * tile_items] = from[d];
            }
        };
    });
    return packed;
}

class Ranker {
public:
    Ranker(const RankTask& task, const float* packed, std::int32_t* items, float* scores)
        : task_(task),
          packed_(packed),
          items_(items),
          scores_(scores),
          people_(std::size_t(team_people) * task.width),
          norms_(team_people),
          candidates_(team_people, Candidates(task.limit)) {}

    void operator()(std::int64_t first, std::int64_t last) {
        for (; first < last; first += team_people)
            rank_team(first, int(std::min<std::int64_t>(team_people, last - first)));
    }

private:
    void rank_team(std::int64_t first, int people) {
        first_ = first;
        pack_people(people);
        const std::int64_t block_floats = std::int64_t(task_.width) * tile_items;
        for (std::int64_t at = 0; at < task_.n_items; at += tile_items) {
            const float* block = packed_ + at / tile_items * block_floats;
            const int wanted = int(std::min<std::int64_t>(tile_items, task_.n_items - at));
            bool alive = false;
            for (int group = 0; group < people; group += tile_people) {
                const int size = std::min(tile_people, people - group);
                if (!can_matter(group, size, task_.norms[at])) continue;
                alive = true;
                score_tile(group, size, block, at, wanted);
            }
            if (!alive) break;  // norms only fall from here
        }
        for (int person = 0; person < people; ++person)
            candidates_[person].write(items_ + (first + person) * task_.limit,
                                      scores_ + (first + person) * task_.limit);
    }

    // Groups of `tile_people` query vectors, each group by columns; absent people are zero.
    void pack_people(int people) {
        std::fill(people_.begin(), people_.end(), 0.0f);
        for (int person = 0; person < people; ++person) {
            const float* from = task_.queries + (first_ + person) * task_.width;
            float* to = people_.data() + person / tile_people * tile_people * task_.width +
                        person % tile_people;
            float square = 0;
            for (int d = 0; d < task_.width; ++d) {
                to[d * tile_people] = from[d];
                square += from[d] * from[d];
            }
            norms_[person] = std::sqrt(square) * 1.0001f;  // an upper bound despite rounding
            candidates_[person].clear();
        }
    }

    bool can_matter(int group, int size, float norm) const {
        for (int person = group; person < group + size; ++person)
            if (!(norms_[person] * norm < candidates_[person].threshold())) return true;
        return false;
    }

    void score_tile(int group, int size, const float* block, std::int64_t at, int wanted) {
        Lanes tile[tile_people][3] = {};
        const float* people = people_.data() + std::int64_t(group) * task_.width;
        for (int d = 0; d < task_.width; ++d, block += tile_items, people += tile_people) {
            const Lanes a = load(block), b = load(block + W), c = load(block + 2 * W);
            for (int person = 0; person < tile_people; ++person) {
                const Lanes q = broadcast(people[person]);
                tile[person][0] += q * a;
                tile[person][1] += q * b;
                tile[person][2] += q * c;
            }
        }
        for (int person = 0; person < tile_people; ++person) {
            if (person >= size) break;
            const float threshold = candidates_[group + person].threshold();
            for (int part = 0; part < 3; ++part)
                if (const unsigned reached = not_below(tile[person][part], threshold))
                    offer(group + person, tile[person][part], reached, at + part * W,
                          wanted - part * W);
        }
    }

    void offer(int person, Lanes scores, unsigned reached, std::int64_t at, int wanted) {
        float kept[W];
        store(kept, scores);
        for (; reached; reached &= reached - 1) {
            const int lane = __builtin_ctz(reached);
            if (lane >= wanted) return;
            const std::int32_t item = task_.ids[at + lane];
            if (kept[lane] >= candidates_[person].threshold() && !is_excluded(person, item))
                candidates_[person].add(kept[lane], item);
        }
    }

    bool is_excluded(int person, std::int32_t item) const {
        const std::int64_t* row = task_.excluded.indptr + first_ + person;
        return std::binary_search(task_.excluded.indices + row[0], task_.excluded.indices + row[1],
                                  item);
    }

    const RankTask& task_;
    const float* packed_;
    std::int32_t* items_;
    float* scores_;
    std::vector<float> people_;
    std::vector<float> norms_;
    std::vector<Candidates> candidates_;
    std::int64_t first_ = 0;
};

inline void rank(const RankTask& task, std::int32_t* items, float* scores, int threads) {
    const std::vector<float> packed = pack_items(task, threads);
    share_out(task.n_queries, team_people, threads,
              [&] { return Ranker(task, packed.data(), items, scores); });
}

}  // namespace native::NEXTUP_ISA
