// The best few of many scores: larger first, and of equals the lower index.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

namespace native {

// One number that orders as (score, lower index) does.
inline std::uint64_t key_of(float score, std::int32_t item) {
    score += 0.0f;  // -0 and 0 are the same score
    std::uint32_t bits;
    std::memcpy(&bits, &score, sizeof bits);
    bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return std::uint64_t(bits) << 32 | std::uint32_t(~item);
}

inline float score_of(std::uint64_t key) {
    std::uint32_t bits = std::uint32_t(key >> 32);
    bits = bits & 0x80000000u ? bits & 0x7fffffffu : ~bits;
    float score;
    std::memcpy(&score, &bits, sizeof score);
    return score;
}

inline std::int32_t item_of(std::uint64_t key) { return ~std::int32_t(std::uint32_t(key)); }

// Collects candidates and throws the worse half away whenever it is full. `threshold` is what a
// new one must reach to matter.
class Candidates {
public:
    explicit Candidates(int limit) : limit_(limit) { keys_.reserve(capacity()); }

    void clear() {
        keys_.clear();
        threshold_ = -std::numeric_limits<float>::infinity();
    }

    float threshold() const { return threshold_; }

    std::int64_t size() const { return std::int64_t(keys_.size()); }

    void add(float score, std::int32_t item) {
        keys_.push_back(key_of(score, item));
        if (keys_.size() == capacity()) shrink();
    }

    // Best first, padded with -1 and -inf.
    void write(std::int32_t* items, float* scores) {
        const std::size_t kept = std::min(keys_.size(), std::size_t(limit_));
        if (kept < keys_.size())  // to part and then to sort is half the work of a partial sort
            std::nth_element(keys_.begin(), keys_.begin() + kept, keys_.end(), std::greater<>());
        std::sort(keys_.begin(), keys_.begin() + kept, std::greater<>());
        for (std::size_t i = 0; i < kept; ++i) {
            items[i] = item_of(keys_[i]);
            scores[i] = score_of(keys_[i]);
        }
        std::fill(items + kept, items + limit_, -1);
        std::fill(scores + kept, scores + limit_, -std::numeric_limits<float>::infinity());
    }

private:
    std::size_t capacity() const { return std::size_t(limit_) * 2 + 32; }

    void shrink() {
        std::nth_element(keys_.begin(), keys_.begin() + (limit_ - 1), keys_.end(),
                         std::greater<>());
        keys_.resize(limit_);
        threshold_ = score_of(keys_.back());
    }

    int limit_;
    float threshold_ = -std::numeric_limits<float>::infinity();
    std::vector<std::uint64_t> keys_;
};

}  // namespace native
