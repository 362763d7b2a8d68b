// Products of tall matrices with small ones: Gram matrices and rotations of factors.
//
// Our own instead of the BLAS library's, whose threads wait by spinning: beside other work on the
// machine that doubles their cost. Sums do not depend on the number of threads.

namespace native::NEXTUP_ISA {

// tile[i][part] = sum_d a[d][i] b[d][part], b's rows being `parts` registers long.
template <int parts>
inline void tile_product(const float* a, std::int64_t a_stride, const float* b,
                         std::int64_t b_stride, std::int64_t depth,
                         Lanes (&tile)[NEXTUP_TILE_PEOPLE][parts]) {
    Lanes sums[NEXTUP_TILE_PEOPLE][parts] = {};
    for (std::int64_t d = 0; d < depth; ++d, a += a_stride, b += b_stride) {
        Lanes row[parts];
        for (int part = 0; part < parts; ++part) row[part] = load(b + part * W);
        for (int i = 0; i < NEXTUP_TILE_PEOPLE; ++i) {
            const Lanes each = broadcast(a[i]);
            for (int part = 0; part < parts; ++part) sums[i][part] += each * row[part];
        }
    }
    for (int i = 0; i < NEXTUP_TILE_PEOPLE; ++i)
        for (int part = 0; part < parts; ++part) tile[i][part] = sums[i][part];
}

// Calls visit(column, parts) for strips of 3 registers, or 2 where that leaves no single one.
template <class Visit>
inline void for_each_strip(int first, int width, const Visit& visit) {
    for (int column = first; column < width;) {
        const int left = (width - column) / W;
        if (left == 1) {
            visit(column, std::integral_constant<int, 1>());
        } else if (left == 2 || left == 4) {
            visit(column, std::integral_constant<int, 2>());
        } else {
            visit(column, std::integral_constant<int, 3>());
        }
        column += W * (left == 1 ? 1 : left == 2 || left == 4 ? 2 : 3);
    }
}

// Each of the rows times the basis, in place.
inline void rotate(float* vectors, std::int64_t rows, int width, const float* basis, int threads) {
    constexpr int team = NEXTUP_TILE_PEOPLE;
    share_out((rows + team - 1) / team, 16, threads, [&] {
        return [=, columns = std::vector<float>(std::size_t(width) * team)](
                   std::int64_t first, std::int64_t last) mutable {
            for (std::int64_t row = first * team; row < std::min(last * team, rows); row += team) {
                const int size = int(std::min<std::int64_t>(team, rows - row));
                float* own = vectors + row * width;
                for (int i = 0; i < size; ++i)
                    for (int d = 0; d < width; ++d) columns[d * team + i] = own[i * width + d];
                for_each_strip(0, width, [&](int column, auto count) {
                    constexpr int parts = decltype(count)::value;
                    Lanes tile[team][parts];
                    tile_product<parts>(columns.data(), team, basis + column, width, width, tile);
                    for (int i = 0; i < size; ++i)
                        for (int part = 0; part < parts; ++part)
                            store(own + i * width + column + part * W, tile[i][part]);
                });
            }
        };
    });
}

// sums += the Gram matrix of a few rows, the part above the diagonal alone being complete.
inline void add_gram(const float* vectors, std::int64_t rows, int width, float* sums) {
    constexpr int team = NEXTUP_TILE_PEOPLE;
    for (int i = 0; i < width; i += team) {
        for_each_strip(i / W * W, width, [&](int column, auto count) {
            constexpr int parts = decltype(count)::value;
            Lanes tile[team][parts];
            tile_product<parts>(vectors + i, width, vectors + column, width, rows, tile);
            for (int r = 0; r < team; ++r)
                for (int part = 0; part < parts; ++part) {
                    float* onto = sums + (i + r) * width + column + part * W;
                    store(onto, load(onto) + tile[r][part]);
                }
        });
    }
}

// The Gram matrix of the columns, (width, width).
inline void gram(const float* vectors, std::int64_t rows, int width, float* products, int threads) {
    constexpr std::int64_t most_parts = 32, block = 128;  // rows of a block stay in the cache
    const std::int64_t blocks = (rows + block - 1) / block;
    const std::int64_t parts = std::min(most_parts, blocks);  // summed alone, whoever does it
    const std::int64_t size = std::int64_t(width) * width;
    std::vector<float> sums(std::size_t(parts * size));
    share_out(parts, 1, threads, [&] {
        return [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t at = first * blocks / parts; at < last * blocks / parts; ++at)
                add_gram(vectors + at * block * width, std::min(block, rows - at * block), width,
                         sums.data() + first * size);
        };
    });
    for (int i = 0; i < width; ++i)
        for (int j = i; j < width; ++j) {
            double total = 0;
            for (std::int64_t part = 0; part < parts; ++part)
                total += sums[std::size_t(part * size + i * width + j)];
            products[i * width + j] = products[j * width + i] = float(total);
        }
}

constexpr int score_ahead = 1 << 11;  // floats: further than the CPU looks ahead by itself

// Each row times one vector.
inline void score(const float* vectors, std::int64_t rows, int width, const float* query,
                  float* scores, int threads) {
    share_out(rows, 4096, threads, [&] {
        return [=](std::int64_t first, std::int64_t last) {
            for (std::int64_t at = first; at < last; at += W) {
                Lanes totals[W] = {};
                const int size = int(std::min<std::int64_t>(W, last - at));
                for (int r = 0; r < size; ++r) {
                    const float* y = vectors + (at + r) * width;
                    Lanes even{}, odd{};
                    int c = 0;
                    for (; c + 2 * W <= width; c += 2 * W) {
                        __builtin_prefetch(y + c + score_ahead);
                        __builtin_prefetch(y + c + score_ahead + 16);
                        even += load(y + c) * load(query + c);
                        odd += load(y + c + W) * load(query + c + W);
                    }
                    if (c < width) even += load(y + c) * load(query + c);
                    totals[r] = even + odd;
                }
                float each[W];
                store(each, sum_each(totals));
                std::memcpy(scores + at, each, sizeof(float) * size);
            }
        };
    });
}

}  // namespace native::NEXTUP_ISA
