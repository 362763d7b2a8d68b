// Who may still be among one person's best: items with bounds of their scores.

namespace native::NEXTUP_ISA {

// Items with a lower and an upper bound, in memory that somebody else owns. `threshold` is what
// an item's upper bound must reach: `limit` items are known to be as good.
class Shortlist {
public:
    static constexpr int spare = 4 * W;  // entries; a register may be written beyond the last one

    // How many entries the arrays need.
    static std::int64_t capacity_for(int limit, std::int64_t n_items) {
        const std::int64_t wanted = 4 * std::int64_t(limit) + 256;
        return (std::min(wanted, n_items) + W - 1) / W * W + 2 * spare;
    }

    Shortlist(int limit, std::int64_t capacity, float* lower, float* upper, std::int32_t* items)
        : limit_(limit), capacity_(capacity), lower_(lower), upper_(upper), items_(items) {}

    void clear() {
        count_ = 0;
        threshold_ = -std::numeric_limits<float>::max();
    }

    float threshold() const { return threshold_; }
    std::int64_t count() const { return count_; }
    std::int32_t item(std::int64_t at) const { return items_[at]; }
    float lower(std::int64_t at) const { return lower_[at]; }
    float upper(std::int64_t at) const { return upper_[at]; }
    bool is_full() const { return count_ + 2 * spare > capacity_; }

    // Takes the lanes in `reached`, whose scores may be wrong by `error`; lane r is item at + r.
    void add(Lanes scores, Lanes error, unsigned reached, std::int32_t at) {
#if NEXTUP_LANES == 16
        const __m512 each = (__m512)scores, off = (__m512)error;
        const __m512i numbers = _mm512_add_epi32(
            _mm512_set1_epi32(at),
            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
        const __mmask16 taken = __mmask16(reached);
        _mm512_storeu_ps(lower_ + count_,
                         _mm512_maskz_compress_ps(taken, _mm512_sub_ps(each, off)));
        _mm512_storeu_ps(upper_ + count_,
                         _mm512_maskz_compress_ps(taken, _mm512_add_ps(each, off)));
        _mm512_storeu_si512(items_ + count_, _mm512_maskz_compress_epi32(taken, numbers));
        count_ += __builtin_popcount(reached);
#else
        float least[W], most[W];
        store(least, scores - error);
        store(most, scores + error);
        for (; reached; reached &= reached - 1) {
            const int lane = __builtin_ctz(reached);
            lower_[count_] = least[lane];
            upper_[count_] = most[lane];
            items_[count_++] = at + lane;
        }
#endif
    }

    // Raises the threshold to what the entries prove and drops those below it. True where that
    // made room; else their scores are too close together for the bounds to tell them apart.
    bool shrink() {
        if (count_ >= limit_ && count_ > 0) raise_threshold();
        std::int64_t kept = 0;
        for (std::int64_t at = 0; at < count_; ++at) {
            const bool stays = upper_[at] >= threshold_;
            lower_[kept] = lower_[at];
            upper_[kept] = upper_[at];
            items_[kept] = items_[at];
            kept += stays;
        }
        count_ = kept;
        return count_ < capacity_ * 3 / 4;
    }

    // Starts again with these exact scores, the worst of which nobody may fall below.
    void replace(const std::vector<std::uint64_t>& keys, const std::int32_t* places) {
        count_ = 0;
        float worst = std::numeric_limits<float>::max();
        for (const std::uint64_t key : keys) {
            lower_[count_] = upper_[count_] = score_of(key);
            worst = std::min(worst, score_of(key));
            items_[count_++] = places[item_of(key)];
        }
        if (count_ >= limit_) threshold_ = std::max(threshold_, worst);
    }

private:
    // Halves an interval around the limit-th largest lower bound: counting is fast.
    void raise_threshold() {
        constexpr int halvings = 14;
        float least = lower_[0], most = lower_[0];
        for (std::int64_t at = 1; at < count_; ++at) {
            least = std::min(least, lower_[at]);
            most = std::max(most, lower_[at]);
        }
        least = std::max(least, threshold_);
        for (int i = 0; i < W; ++i)  // the last register's rest counts for nobody
            lower_[count_ + i] = -std::numeric_limits<float>::infinity();
        if (count_not_below(least) < limit_) return;
        const std::int64_t near = limit_ + limit_ / 16;
        for (int i = 0; i < halvings; ++i) {
            const float middle = least + (most - least) / 2;
            const std::int64_t above = count_not_below(middle);
            (above >= limit_ ? least : most) = middle;
            if (above >= limit_ && above <= near) break;
        }
        threshold_ = least;
    }

    std::int64_t count_not_below(float bound) const {
        Ints below{};
        const Lanes limit = broadcast(bound);
        for (std::int64_t at = 0; at < count_; at += W) below += load(lower_ + at) >= limit;
        std::int64_t total = 0;
        for (int lane = 0; lane < W; ++lane) total -= below[lane];
        return total;
    }

    std::int64_t limit_, capacity_;
    float *lower_, *upper_;
    std::int32_t* items_;
    std::int64_t count_ = 0;
    float threshold_ = 0;
};

}  // namespace native::NEXTUP_ISA
