// What sources say about all items, looked through for one person: some items are not allowed.

namespace native::NEXTUP_ISA {

// One where it holds, zero elsewhere.
inline Lanes ones_where(const bool* holds) {
#if NEXTUP_LANES == 16
    return (Lanes)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)holds)));
#elif NEXTUP_LANES == 8
    return (Lanes)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)holds)));
#else
    Lanes ones;
    for (int lane = 0; lane < W; ++lane) ones[lane] = float(holds[lane]);
    return ones;
#endif
}

// The greatest score that is allowed and above 0; 0 where there is none.
inline float most_allowed(const float* scores, const bool* allowed, std::int64_t n) {
    Lanes most{};
    std::int64_t item = 0;
    for (; item + W <= n; item += W) {
        const Lanes score = load(scores + item) * ones_where(allowed + item);
        most = score > most ? score : most;  // NaN, which infinity times 0 is, is not
    }
    float best = 0.0f;
    for (int lane = 0; lane < W; ++lane) best = std::max(best, most[lane]);
    for (; item < n; ++item) best = std::max(best, allowed[item] ? scores[item] : 0.0f);
    return best;
}

// Adds each positive score, scaled so that the best allowed one counts `weight`; gives the scale.
inline double add_opinion(const float* scores, const bool* allowed, std::int64_t n, double weight,
                          float* total) {
    const float best = most_allowed(scores, allowed, n);
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

// The best `limit` of those that are allowed and finite.
inline void best_allowed(const float* scores, const bool* allowed, std::int64_t n, int limit,
                         std::int32_t* items, float* best) {
    Candidates candidates(limit);
    const auto offer = [&](std::int64_t item) {  // they ascend: an equal one comes behind
        if (allowed[item] && scores[item] > candidates.threshold() && std::isfinite(scores[item]))
            candidates.add(scores[item], std::int32_t(item));
    };
    std::int64_t block = 0;
    for (; block + W <= n; block += W)
        for (unsigned some = not_below(load(scores + block), candidates.threshold()); some;
             some &= some - 1)
            offer(block + __builtin_ctz(some));
    for (; block < n; ++block) offer(block);
    candidates.write(items, best);
}

}  // namespace native::NEXTUP_ISA
