// Ranking everyone: a matrix product whose result is never stored.
//
// Items come by descending norm. A tile of approximate scores (some people x some items) lives in
// registers and is compared with what each person's items must reach; few survive, and of those
// that could still be among the best when all have passed the exact scores are computed. When no
// person of a group can reach the threshold with a block's largest norm (Cauchy-Schwarz), the rest
// of the items is skipped. Bounds only ever err to the safe side: the answer is exact.

namespace native::NEXTUP_ISA {

constexpr int tile_people = NEXTUP_TILE_PEOPLE;
constexpr int team_people = 64;  // share a block of items while it is in the first-level cache

// One bit for each of a few people and each item: who must not get what.
class Excluded {
public:
    explicit Excluded(std::int64_t n_items)
        : row_((n_items + 2 * 64) / 8), bits_(std::size_t(team_people) * row_) {}

    void set(int person, std::int64_t at) { bits_[person * row_ + at / 8] |= 1 << at % 8; }
    void clear(int person, std::int64_t at) { bits_[person * row_ + at / 8] = 0; }

    // Bit i is set where item at + i is out; up to 24 of them count.
    unsigned from(int person, std::int64_t at) const {
        std::uint32_t bits;
        std::memcpy(&bits, bits_.data() + person * row_ + at / 8, sizeof bits);
        return bits >> at % 8;
    }

private:
    std::int64_t row_;  // bytes
    std::vector<std::uint8_t> bits_;
};

template <class Form>
class Ranker {
    typedef typename Form::Code Code;
    typedef typename Form::Number Number;
    typedef typename Form::Numbers Numbers;
    static constexpr int size = ItemCodes<Form>::size;
    typedef Numbers Tile[tile_people][Form::parts];

public:
    Ranker(const RankTask& task, const ItemCodes<Form>& codes, const std::int32_t* places,
           std::int32_t* items, float* scores)
        : task_(task),
          codes_(codes),
          places_(places),
          items_(items),
          scores_(scores),
          people_(std::int64_t(team_people) * task.width),
          out_(task.n_items),
          capacity_(Shortlist::capacity_for(task.limit, task.n_items)),
          bounds_(2 * team_people * capacity_),
          numbers_(team_people * capacity_),
          rounding_(float(task.width) * 1.2e-7f) {
        for (int person = 0; person < team_people; ++person)
            lists_.emplace_back(task.limit, capacity_, bounds_.data() + 2 * person * capacity_,
                                bounds_.data() + (2 * person + 1) * capacity_,
                                numbers_.data() + person * capacity_);
    }

    void operator()(std::int64_t first, std::int64_t last) {
        for (; first < last; first += team_people)
            rank_team(first, int(std::min<std::int64_t>(team_people, last - first)));
    }

private:
    void rank_team(std::int64_t first, int people) {
        first_ = first;
        encode_people(people);
        mark_excluded(people, [&](int person, std::int64_t at) { out_.set(person, at); });
        int groups = (people + tile_people - 1) / tile_people, alive[team_people];
        for (int group = 0; group < groups; ++group) alive[group] = group * tile_people;
        for (std::int64_t block = 0; block < codes_.blocks() && groups; ++block) {
            int still = 0;  // norms only fall: who is out now is out for good
            for (int at = 0; at < groups; ++at) {
                if (!can_matter(alive[at], codes_.facts(block).norm)) continue;
                score_block(alive[at], block);
                alive[still++] = alive[at];
            }
            groups = still;
        }
        for (int person = 0; person < people; ++person) write(person);
        mark_excluded(people, [&](int person, std::int64_t at) { out_.clear(person, at); });
    }

    // Groups of `tile_people` people's codes, each group by columns of Form::together factors.
    void encode_people(int people) {
        std::memset(people_.data(), 0, sizeof(Code) * team_people * task_.width);
        for (int person = 0; person < team_people; ++person) {
            lists_[person].clear();
            threshold_[person] = person < people ? lists_[person].threshold()
                                                 : std::numeric_limits<float>::infinity();
            norm_[person] = lost_[person] = shift_[person] = 0;
            scale_[person] = 1;
            if (person < people) encode_person(person);
        }
    }

    void encode_person(int person) {
        constexpr int together = Form::together;
        const float* from = query(person);
        norm_[person] = length_of(from, task_.width) * 1.0001f;  // an upper bound despite rounding
        Code* to = people_.data() + person / tile_people * tile_people * task_.width +
                   person % tile_people * together;
        if constexpr (Form::most > 0) {
            const float largest = largest_of(from, task_.width);
            scale_[person] = std::max(largest / Form::most, least_scale);
        }
        float square = 0, total = 0;  // in steps
        for (int d = 0; d < task_.width; ++d) {
            Code& cell = to[d / together * together * tile_people + d % together];
            if constexpr (Form::most > 0) {
                const float exact = from[d] / scale_[person], steps = std::nearbyint(exact);
                square += missed_square(exact, steps);
                total += steps;
                cell = Code(int(steps));
            } else {
                cell = from[d];
            }
        }
        lost_[person] = std::sqrt(square) * scale_[person] * 1.0001f;
        shift_[person] = total * Form::zero;
    }

    template <class Mark>
    void mark_excluded(int people, const Mark& mark) {
        for (int person = 0; person < people; ++person) {
            const std::int64_t* row = task_.excluded.indptr + first_ + person;
            for (std::int64_t at = row[0]; at < row[1]; ++at) {
                const std::int32_t place = places_[task_.excluded.indices[at]];
                if (place >= 0) mark(person, place);
            }
        }
    }

    bool can_matter(int group, float norm) const {
        bool any = false;
        for (int i = 0; i < tile_people; ++i)
            any |= !(norm_[group + i] * norm * 1.0001f < threshold_[group + i]);
        return any;
    }

    void score_block(int group, std::int64_t block) {
        const BlockFacts& facts = codes_.facts(block);
        Number reach[tile_people];  // a sum must reach this to matter
        for (int i = 0; i < tile_people; ++i) {
            const int person = group + i;
            const float error = shared_error(person, facts) + weight_of_lost(person) * facts.lost;
            reach[i] = needed(threshold_[person] - error, scale_[person] * facts.scale,
                              shift_[person]);
        }
        Tile tile;
        multiply(codes_.block(block), people_.data() + std::int64_t(group) * task_.width, tile);
        for (int i = 0; i < tile_people; ++i) {
            Numbers best = tile[i][0];
            for (int part = 1; part < Form::parts; ++part)
                best = best > tile[i][part] ? best : tile[i][part];
            if (not_below(best, reach[i])) offer(group + i, tile[i], reach[i], block);
        }
    }

    // At most so far is a sum of codes from a score, but for what the item's own code has lost.
    float shared_error(int person, const BlockFacts& facts) const {
        const float error = lost_[person] * (facts.norm + facts.lost) +
                            norm_[person] * rounding_ * facts.norm;
        return error <= std::numeric_limits<float>::max() ? error : 0;
    }

    Number needed(float score, float scale, float shift) const {
        if constexpr (Form::most > 0) {
            // Rounding of the quotient and of the conversion is a few steps.
            const float steps = score / scale + shift - (4 + 1e-6f * std::abs(shift));
            return Number(std::min(std::max(steps, -2e9f), 2e9f));
        } else {
            return score;
        }
    }

    void multiply(const Code* block, const Code* people, Tile& tile) const {
        constexpr int together = Form::together;
        Tile sums = {};
        for (int d = 0; d < task_.width; d += together) {
            typename Form::Some items[Form::parts];
            for (int part = 0; part < Form::parts; ++part)
                items[part] = Form::load_items(block + part * W * together);
            for (int i = 0; i < tile_people; ++i) {
                const auto person = Form::load_person(people + i * together);
                for (int part = 0; part < Form::parts; ++part)
                    sums[i][part] = Form::add_products(sums[i][part], items[part], person);
            }
            block += size * together;
            people += tile_people * together;
        }
        for (int i = 0; i < tile_people; ++i)
            for (int part = 0; part < Form::parts; ++part) tile[i][part] = sums[i][part];
    }

    float weight_of_lost(int person) const { return Form::most > 0 ? norm_[person] : 0; }

    void offer(int person, const Numbers (&sums)[Form::parts], Number reach, std::int64_t block) {
        const BlockFacts& facts = codes_.facts(block);
        const float scale = scale_[person] * facts.scale, error = shared_error(person, facts);
        for (int part = 0; part < Form::parts; ++part) {
            const std::int64_t at = block * size + part * W;
            const std::int64_t left = task_.n_items - at;
            unsigned reached = not_below(sums[part], reach) & ~out_.from(person, at);
            if (left < W) reached &= left > 0 ? (1u << left) - 1 : 0;
            if (!reached) continue;
            const Lanes scores = (Form::to_floats(sums[part]) - shift_[person]) * scale;
            lists_[person].add(scores, error + weight_of_lost(person) * codes_.lost(at),
                               reached & is_finite(scores), std::int32_t(at));
        }
        if (!lists_[person].is_full()) return;
        if (!lists_[person].shrink()) {
            score_exactly(person);
            lists_[person].replace(keys_, places_);
        }
        threshold_[person] = lists_[person].threshold();
    }

    // `keys_` becomes the best of the person's list by their exact scores, in no order. Those that
    // are sure to be good come first: what they turn out to score spares many of the others.
    void score_exactly(int person) {
        const Shortlist& list = lists_[person];
        keys_.clear();
        const float sure = list.threshold();
        collect([&](std::int64_t at) { return list.lower(at) >= sure; }, list);
        score_collected(person);
        const bool enough = keys_.size() == std::size_t(task_.limit);
        const float worst = enough ? score_of(*std::min_element(keys_.begin(), keys_.end())) : sure;
        collect([&](std::int64_t at) { return list.lower(at) < sure && list.upper(at) >= worst; },
                list);
        score_collected(person);
    }

    template <class Wanted>
    void collect(const Wanted& wanted, const Shortlist& list) {
        collected_.resize(std::size_t(list.count()));
        std::size_t kept = 0;
        for (std::int64_t at = 0; at < list.count(); ++at) {
            collected_[kept] = task_.ids[list.item(at)];
            kept += wanted(at);
        }
        collected_.resize(kept);
    }

    void score_collected(int person) {
        const float* x = query(person);
        const int count = int(collected_.size());
        for (int at = 0; at < count; at += W) {
            const int rows = std::min(W, count - at);
            float each[W];
            store(each, products(x, at, rows));
            for (int r = 0; r < rows; ++r)
                if (std::isfinite(each[r])) keys_.push_back(key_of(each[r], collected_[at + r]));
        }
        if (keys_.size() <= std::size_t(task_.limit)) return;
        std::nth_element(keys_.begin(), keys_.begin() + task_.limit, keys_.end(),
                         std::greater<>());
        keys_.resize(std::size_t(task_.limit));
    }

    // Lane r is the product with the r-th of the collected from `at`; the next ones are asked for.
    Lanes products(const float* x, int at, int rows) const {
        Lanes totals[W] = {};
        for (int r = 0; r < rows; ++r) {
            const float* y = vector_of(at + r);
            if (at + r + W < int(collected_.size())) {
                const float* next = vector_of(at + r + W);
                for (int d = 0; d < task_.width; d += 16) __builtin_prefetch(next + d);
            }
            Lanes even{}, odd{};
            int d = 0;
            for (; d + 2 * W <= task_.width; d += 2 * W) {
                even += load(x + d) * load(y + d);
                odd += load(x + d + W) * load(y + d + W);
            }
            if (d < task_.width) even += load(x + d) * load(y + d);
            totals[r] = even + odd;
        }
        return sum_each(totals);
    }

    void write(int person) {
        lists_[person].shrink();
        score_exactly(person);
        std::sort(keys_.begin(), keys_.end(), std::greater<>());
        std::int32_t* items = items_ + (first_ + person) * task_.limit;
        float* scores = scores_ + (first_ + person) * task_.limit;
        for (std::size_t i = 0; i < keys_.size(); ++i) {
            items[i] = item_of(keys_[i]);
            scores[i] = score_of(keys_[i]);
        }
        std::fill(items + keys_.size(), items + task_.limit, -1);
        std::fill(scores + keys_.size(), scores + task_.limit,
                  -std::numeric_limits<float>::infinity());
    }

    const float* query(int person) const {
        return task_.queries + (first_ + person) * task_.width;
    }

    const float* vector_of(int at) const {
        return task_.items + std::int64_t(collected_[at]) * task_.width;
    }

    const RankTask& task_;
    const ItemCodes<Form>& codes_;
    const std::int32_t* places_;  // of items in the order of norms, -1 for those not in it
    std::int32_t* items_;
    float* scores_;
    LineAligned<Code> people_;
    Excluded out_;
    std::int64_t capacity_;
    LineAligned<float> bounds_;
    LineAligned<std::int32_t> numbers_;
    float rounding_;  // of a sum of products, relative to the norms
    std::vector<Shortlist> lists_;
    std::vector<std::int32_t> collected_;  // items whose exact scores are wanted
    std::vector<std::uint64_t> keys_;      // exact scores and their items
    float threshold_[team_people], norm_[team_people], lost_[team_people], scale_[team_people],
        shift_[team_people];
    std::int64_t first_ = 0;
};

template <class Form>
inline void rank_as(const RankTask& task, const std::int32_t* places, std::int32_t* items,
                    float* scores, int threads) {
    const ItemCodes<Form> codes(task, threads);
    share_out(task.n_queries, team_people, threads,
              [&] { return Ranker<Form>(task, codes, places, items, scores); });
}

// Codes need scales that neither overflow nor vanish: products of all norms between these.
inline bool is_tame(const RankTask& task) {
    constexpr float most = 1e15f;
    for (std::int64_t at = 0; at < task.n_items; ++at)
        if (!(task.norms[at] < most)) return false;
    for (std::int64_t row = 0; row < task.n_queries; ++row)
        if (!(length_of(task.queries + row * task.width, task.width) < most)) return false;
    return true;
}

inline void rank(const RankTask& task, std::int32_t* items, float* scores, int threads) {
    std::vector<std::int32_t> places(std::size_t(task.n_rows), -1);
    for (std::int64_t at = 0; at < task.n_items; ++at) places[task.ids[at]] = std::int32_t(at);
#if defined(NEXTUP_BYTES)
    if (is_tame(task)) return rank_as<Bytes>(task, places.data(), items, scores, threads);
#endif
    rank_as<Floats>(task, places.data(), items, scores, threads);
}

}  // namespace native::NEXTUP_ISA
