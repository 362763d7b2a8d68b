// A register full of floats, in the words of GCC's and Clang's vector extensions.
//
// Included once for each instruction set, with NEXTUP_ISA (a namespace) and NEXTUP_LANES (floats
// in a register) defined. No include may stand here: standard headers must not be compiled for
// an instruction set that the CPU may lack.

namespace native::NEXTUP_ISA {

constexpr int W = NEXTUP_LANES;

typedef float Lanes __attribute__((vector_size(W * sizeof(float))));

inline Lanes load(const float* from) {
    Lanes lanes;
    __builtin_memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

// The first `count` of W floats, zeros behind them; nothing beyond them is read.
inline Lanes load_some(const float* from, int count) {
    if (count == W) return load(from);
    float kept[W] = {};
    for (int i = 0; i < count; ++i) kept[i] = from[i];
    return load(kept);
}

inline void store(float* to, Lanes lanes) { __builtin_memcpy(to, &lanes, sizeof lanes); }

// Has the compiler read again what was just stored.
template <class T>
inline void leave_in_memory(T& stored) { asm("" : "+m"(stored)); }

inline Lanes broadcast(float value) { return value - Lanes{}; }

template <int H, std::size_t... L>
inline Lanes fold(Lanes a, Lanes b, std::index_sequence<L...>) {
    const Lanes kept = __builtin_shufflevector(a, b, (int(L) & H ? W + int(L) : int(L))...);
    const Lanes other = __builtin_shufflevector(a, b, ((int(L) ^ H) + (int(L) & H ? W : 0))...);
    return kept + other;
}

template <int H>
inline void fold_all(Lanes* rows) {
    for (int i = 0; i < H; ++i)
        rows[i] = fold<H>(rows[i], rows[i + H], std::make_index_sequence<W>());
    if constexpr (H > 1) fold_all<H / 2>(rows);
}

// Lane r of the result is the sum of rows[r]: W horizontal sums for the price of W - 1 folds.
inline Lanes sum_each(Lanes (&rows)[W]) {
    fold_all<W / 2>(rows);
    return rows[0];
}

// Bit r is set where lane r is not below the limit.
inline unsigned not_below(Lanes lanes, float limit) {
#if NEXTUP_LANES == 16
    return _mm512_cmp_ps_mask((__m512)lanes, _mm512_set1_ps(limit), _CMP_GE_OQ);
#elif NEXTUP_LANES == 8
    return _mm256_movemask_ps(
        _mm256_cmp_ps((__m256)lanes, _mm256_set1_ps(limit), _CMP_GE_OQ));
#else
    unsigned mask = 0;
    for (int i = 0; i < W; ++i) mask |= unsigned(lanes[i] >= limit) << i;
    return mask;
#endif
}

typedef std::int32_t Ints __attribute__((vector_size(W * sizeof(std::int32_t))));

inline unsigned not_below(Ints lanes, std::int32_t limit) {
#if NEXTUP_LANES == 16
    return _mm512_cmpge_epi32_mask((__m512i)lanes, _mm512_set1_epi32(limit));
#elif NEXTUP_LANES == 8
    const Ints reached = lanes >= limit;
    return unsigned(_mm256_movemask_ps((__m256)reached));
#else
    unsigned mask = 0;
    for (int i = 0; i < W; ++i) mask |= unsigned(lanes[i] >= limit) << i;
    return mask;
#endif
}

// Bit r is set where lane r is neither infinite nor NaN.
inline unsigned is_finite(Lanes lanes) {
    constexpr float most = 3.4028235e38f;
    return not_below(lanes, -most) & not_below(-lanes, -most);
}

template <int H>
inline Lanes fold_down(Lanes lanes) {
    lanes = fold<H>(lanes, lanes, std::make_index_sequence<W>());
    if constexpr (H > 1) return fold_down<H / 2>(lanes);
    return lanes;
}

inline float sum(Lanes lanes) { return fold_down<W / 2>(lanes)[0]; }

}  // namespace native::NEXTUP_ISA
