// One source's scores, added to what the sources before it said about all items.

namespace native::NEXTUP_ISA {

typedef std::uint8_t Truths __attribute__((vector_size(W)));

// The greatest score that is allowed and above 0; 0 where there is none.
inline float best_allowed(const float* scores, const bool* allowed, std::int64_t n) {
    Lanes most{};
    std::int64_t item = 0;
    for (; item + W <= n; item += W) {
        Truths may;
        __builtin_memcpy(&may, allowed + item, sizeof may);
        const Lanes score = load(scores + item);
        most = (__builtin_convertvector(may, Ints) != 0) & (score > most) ? score : most;
    }
    float best = 0.0f;
    for (int lane = 0; lane < W; ++lane) best = std::max(best, most[lane]);
    for (; item < n; ++item) best = std::max(best, allowed[item] ? scores[item] : 0.0f);
    return best;
}

// Adds each positive score, scaled so that the best allowed one counts `weight`; gives the scale.
inline double add_opinion(const float* scores, const bool* allowed, std::int64_t n, double weight,
                          float* total) {
    const float best = best_allowed(scores, allowed, n);
    const double scale = best > 0 ? weight / double(best) : 0.0;
    const float factor = float(scale);
    if (!(factor > 0)) return scale;
    std::int64_t item = 0;
    for (; item + W <= n; item += W) {
        const Lanes score = load(scores + item);
        store(total + item, load(total + item) + (score > 0 ? score : Lanes{}) * factor);
    }
    for (; item < n; ++item) total[item] += std::max(0.0f, scores[item]) * factor;
    return scale;
}

}  // namespace native::NEXTUP_ISA
