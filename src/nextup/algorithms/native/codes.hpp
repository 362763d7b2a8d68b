// The two forms in which items and people meet in a tile of scores: bytes, where the CPU sums
// products of bytes, and floats.
//
// A vector's code is its numbers in steps of a scale. The item's is stored with `zero` added, which
// makes it unsigned where the instructions want that; a sum of products of codes is then `zero`
// times the sum of the person's code too large. How far a code is from its vector bounds how far
// a product of codes can be from the product of vectors.

namespace native::NEXTUP_ISA {

struct Floats {
    typedef float Code;
    typedef float Number;  // what a tile is made of
    typedef Lanes Numbers;
    static constexpr int together = 1;  // factors that one instruction sums
    static constexpr int parts = 3;     // registers of items in a tile
    static constexpr float most = 0;    // no steps: the code is the vector
    static constexpr float zero = 0;

    typedef Lanes Some;  // of an item's codes, W items
    static Some load_items(const Code* from) { return load(from); }
    static Some load_person(const Code* from) { return broadcast(*from); }
    static Numbers add_products(Numbers onto, Some items, Some person) {
        return onto + items * person;
    }
    static Lanes to_floats(Numbers numbers) { return numbers; }
};

#if defined(NEXTUP_BYTES)

struct Bytes {
    typedef std::int8_t Code;
    typedef std::int32_t Number;
    typedef Ints Numbers;
    static constexpr int together = 4;
    static constexpr int parts = NEXTUP_BYTES;
    static constexpr float most = 127;

    typedef Ints Some;
    static Some load_items(const Code* from) {
        Ints codes;
        __builtin_memcpy(&codes, from, sizeof codes);
        return codes;
    }
    static Some load_person(const Code* from) {
        std::int32_t codes;
        __builtin_memcpy(&codes, from, sizeof codes);
        return codes - Ints{};
    }
    static Lanes to_floats(Numbers numbers) { return __builtin_convertvector(numbers, Lanes); }

#if defined(NEXTUP_VNNI)
    static constexpr float zero = 128, item_most = 127;
    static Numbers add_products(Numbers onto, Some items, Some person) {
        return (Ints)_mm512_dpbusd_epi32((__m512i)onto, (__m512i)items, (__m512i)person);
    }
#elif NEXTUP_LANES == 16
    static constexpr float zero = 64, item_most = 63;  // pairs of products fit into 16 bits
    static Numbers add_products(Numbers onto, Some items, Some person) {
        const __m512i pairs = _mm512_maddubs_epi16((__m512i)items, (__m512i)person);
        return onto + (Ints)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
    }
#elif NEXTUP_LANES == 8
    static constexpr float zero = 64, item_most = 63;
    static Numbers add_products(Numbers onto, Some items, Some person) {
        const __m256i pairs = _mm256_maddubs_epi16((__m256i)items, (__m256i)person);
        return onto + (Ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    }
#else  // ARM's dot product
    static constexpr float zero = 0, item_most = 127;
    static Numbers add_products(Numbers onto, Some items, Some person) {
        return (Ints)vdotq_s32((int32x4_t)onto, (int8x16_t)items, (int8x16_t)person);
    }
#endif
};

#endif

inline float length_of(const float* vector, int width) {
    Lanes total{};
    for (int d = 0; d < width; d += W) total += load(vector + d) * load(vector + d);
    return std::sqrt(sum(total));
}

inline float largest_of(const float* vector, int width) {
    float largest = 0;
    for (int d = 0; d < width; ++d) largest = std::max(largest, std::abs(vector[d]));
    return largest;
}

constexpr float least_scale = 1e-15f;  // products of two scales stay normal numbers

inline float missed_square(float exact, float steps) {
    const float missed = std::abs(exact - steps) + 1e-5f;  // the quotient was rounded, too
    return missed * missed;
}

// What is known of the items of a block, which are of nearly the same length.
struct BlockFacts {
    float norm = 0;   // of the longest vector
    float scale = 1;  // of the codes
    float lost = 0;   // at most so far is any code from its vector
};

// All items' codes: blocks of `size` items, each by columns of Form::together factors.
template <class Form>
class ItemCodes {
    typedef typename Form::Code Code;

public:
    static constexpr int size = Form::parts * W;

    ItemCodes(const RankTask& task, int threads)
        : task_(task),
          blocks_((task.n_items + size - 1) / size),
          codes_(blocks_ * size * task.width),
          facts_(std::size_t(blocks_)),
          lost_(blocks_ * size) {
        share_out(blocks_, 16, threads, [&] {
            return [&](std::int64_t first, std::int64_t last) {
                for (std::int64_t block = first; block < last; ++block) encode(block);
            };
        });
    }

    const Code* block(std::int64_t at) const { return codes_.data() + at * size * task_.width; }
    const BlockFacts& facts(std::int64_t at) const { return facts_[std::size_t(at)]; }
    std::int64_t blocks() const { return blocks_; }

    // So far are the codes of the W items from `at` from their vectors.
    Lanes lost(std::int64_t at) const { return load(lost_.data() + at); }

private:
    const float* item(std::int64_t at) const {
        return task_.items + std::int64_t(task_.ids[at]) * task_.width;
    }

    void encode(std::int64_t block) {
        const std::int64_t first = block * size, last = std::min(first + size, task_.n_items);
        BlockFacts& facts = facts_[std::size_t(block)];
        facts.norm = task_.norms[first];
        Code* to = codes_.data() + first * task_.width;
        std::memset(to, 0, sizeof(Code) * size * task_.width);
        if constexpr (Form::most > 0) {
            float largest = 0;
            for (std::int64_t at = first; at < last; ++at)
                largest = std::max(largest, largest_of(item(at), task_.width));
            facts.scale = std::max(largest / Form::item_most, least_scale);
        }
        std::fill(lost_.data() + first, lost_.data() + first + size, 0.0f);
        for (std::int64_t at = first; at < last; ++at) {
            lost_.data()[at] = encode_item(item(at), to + (at - first) * Form::together, facts);
            facts.lost = std::max(facts.lost, lost_.data()[at]);
        }
    }

    float encode_item(const float* from, Code* to, const BlockFacts& facts) const {
        constexpr int together = Form::together;
        float square = 0;  // of what the code misses, in steps
        for (int d = 0; d < task_.width; ++d) {
            Code* cell = to + d / together * together * size + d % together;
            if constexpr (Form::most > 0) {
                const float exact = from[d] / facts.scale, steps = std::nearbyint(exact);
                square += missed_square(exact, steps);
                *cell = Code(std::uint8_t(int(steps + Form::zero)));
            } else {
                *cell = from[d];
            }
        }
        return std::sqrt(square) * facts.scale * 1.0001f;  // an upper bound despite rounding
    }

    const RankTask& task_;
    std::int64_t blocks_;
    LineAligned<Code> codes_;
    std::vector<BlockFacts> facts_;
    LineAligned<float> lost_;
};

}  // namespace native::NEXTUP_ISA
