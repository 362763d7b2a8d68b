// The other side's vectors as the solver reads them: exact, or rounded to half their size.
//
// Rounded vectors are pairs of bfloat16 in a word: of each 32 factors, factor i in the upper half
// and factor i + 16 in the lower one. A shift makes the lower half a float; the word as it stands
// is the upper half's float, because the upper half was rounded with the lower one in its tail.
// So a pair costs one load and one shift, in any instruction set.

namespace native::NEXTUP_ISA {

typedef std::uint32_t Words __attribute__((vector_size(W * sizeof(std::uint32_t))));

struct Exact {
    typedef float Cell;
    typedef Lanes Cells;              // W cells
    static constexpr int parts = 1;   // factors in a cell
    static int offset(int cell, int) { return cell; }  // of a cell's part in the whole vector
    static Lanes part(Cells cells, int) { return cells; }
};

struct Rounded {
    typedef std::uint32_t Cell;
    typedef Words Cells;
    static constexpr int parts = 2;
    static int offset(int cell, int part) { return cell + (cell & ~15) + part * 16; }
    static Lanes part(Cells cells, int part) { return (Lanes)(part ? cells << 16 : cells); }
};

inline std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline std::uint32_t rounded_pair(float upper, float lower) {
    const std::uint32_t low = (bits_of(lower) + 0x8000u) >> 16;
    const std::uint32_t sign = bits_of(upper) & 0x80000000u;
    const std::uint32_t size = bits_of(upper) & 0x7fffffffu;
    // Numbers below the smallest normal one would be slow, and their tail larger than they are.
    const std::uint32_t nearest = size < 0x01000000u ? 0 : (size + 0x8000u - low) & 0x7fff0000u;
    return sign | nearest | low;
}

// Cells in the rounded form of a vector; the last ones' lower halves may be empty.
inline int rounded_cells(int width) { return (width + 31) / 32 * 16; }

inline void round_vector(const float* from, int width, std::uint32_t* to) {
    for (int cell = 0; cell < rounded_cells(width); ++cell) {
        const int upper = Rounded::offset(cell, 0), lower = Rounded::offset(cell, 1);
        to[cell] = rounded_pair(from[upper], lower < width ? from[lower] : 0.0f);
    }
}

}  // namespace native::NEXTUP_ISA
