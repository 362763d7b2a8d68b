// What each touch of a person gave to the scores of some items: y_t^T A^-1 z_j.
//
// A is the person's own system, solved by Cholesky's method after its diagonal has been scaled to
// one, so that single precision is enough. Rows of registers run across the items.

namespace native::NEXTUP_ISA {

// The upper triangle U of A = U^T U, in A's place; what is below the diagonal becomes worthless.
inline void cholesky(float* system, int size) {
    for (int j = 0; j < size; ++j) {
        float* pivot = system + std::int64_t(j) * size;
        const float inverse = 1.0f / std::sqrt(std::max(pivot[j], 1e-12f));
        for (int c = j / W * W; c < size; c += W) store(pivot + c, load(pivot + c) * inverse);
        for (int i = j + 1; i < size; ++i) {
            float* row = system + std::int64_t(i) * size;
            const float factor = pivot[i];
            for (int c = i / W * W; c < size; c += W)
                store(row + c, load(row + c) - factor * load(pivot + c));
        }
    }
}

// onto[c] -= factor from[c]
inline void subtract(float* onto, const float* from, float factor, std::int64_t across) {
    for (std::int64_t c = 0; c < across; c += W)
        store(onto + c, load(onto + c) - factor * load(from + c));
}

// A^-1 B in B's place, B being (size, across).
inline void solve_triangles(const float* upper, int size, float* sides, std::int64_t across) {
    const auto divide = [&](int j) {
        const float inverse = 1.0f / upper[std::int64_t(j) * size + j];
        for (std::int64_t c = 0; c < across; c += W)
            store(sides + j * across + c, load(sides + j * across + c) * inverse);
    };
    for (int j = 0; j < size; ++j) {
        divide(j);
        for (int i = j + 1; i < size; ++i)
            subtract(sides + i * across, sides + j * across, upper[std::int64_t(j) * size + i],
                     across);
    }
    for (int j = size - 1; j >= 0; --j) {
        for (int i = j + 1; i < size; ++i)
            subtract(sides + j * across, sides + i * across, upper[std::int64_t(j) * size + i],
                     across);
        divide(j);
    }
}

// The person's system and touches, in coordinates that make its diagonal one.
struct ScaledSystem {
    std::vector<float> scale;    // (width)
    std::vector<float> touched;  // (touches, width)
    std::vector<float> system;   // (width, width), upper triangle

    explicit ScaledSystem(const TraceTask& task)
        : scale(task.width), touched(std::size_t(task.n_touches) * task.width),
          system(std::size_t(task.width) * task.width) {
        const int width = task.width;
        for (int c = 0; c < width; ++c) scale[c] = task.dense[c] + task.ridge;
        for (std::int64_t t = 0; t < task.n_touches; ++t) {
            const float* y = task.vectors + std::int64_t(task.touched[t]) * width;
            for (int c = 0; c < width; ++c) scale[c] += task.weights[t] * y[c] * y[c];
        }
        for (int c = 0; c < width; ++c) scale[c] = scale[c] > 0 ? 1.0f / std::sqrt(scale[c]) : 0.0f;
        std::vector<float> weighted(touched.size());
        for (std::int64_t t = 0; t < task.n_touches; ++t) {
            const float* y = task.vectors + std::int64_t(task.touched[t]) * width;
            const float root = std::sqrt(task.weights[t]);
            for (int c = 0; c < width; ++c) {
                touched[t * width + c] = y[c] * scale[c];
                weighted[t * width + c] = y[c] * scale[c] * root;
            }
        }
        add_gram(weighted.data(), task.n_touches, width, system.data());
        for (int c = 0; c < width; ++c)
            system[std::size_t(c) * width + c] +=
                scale[c] > 0 ? (task.dense[c] + task.ridge) * scale[c] * scale[c] : 1.0f;
    }
};

inline void trace(const TraceTask& task, float* parts) {
    constexpr int team = NEXTUP_TILE_PEOPLE;
    const int width = task.width;
    const std::int64_t across = (task.n_items + W - 1) / W * W;
    ScaledSystem own(task);
    std::vector<float> answers(std::size_t(width) * across);
    for (std::int64_t j = 0; j < task.n_items; ++j) {
        const float* z = task.vectors + std::int64_t(task.items[j]) * width;
        for (int c = 0; c < width; ++c) answers[c * across + j] = z[c] * own.scale[c];
    }
    cholesky(own.system.data(), width);
    solve_triangles(own.system.data(), width, answers.data(), across);
    std::vector<float> columns(std::size_t(width) * team), rows(std::size_t(team) * across);
    for (std::int64_t first = 0; first < task.n_touches; first += team) {
        const int size = int(std::min<std::int64_t>(team, task.n_touches - first));
        for (int i = 0; i < size; ++i)
            for (int c = 0; c < width; ++c)
                columns[c * team + i] = own.touched[(first + i) * width + c];
        for_each_strip(0, int(across), [&](int column, auto count) {
            constexpr int strip = decltype(count)::value;
            Lanes tile[team][strip];
            tile_product<strip>(columns.data(), team, answers.data() + column, across, width,
                                tile);
            for (int i = 0; i < size; ++i)
                for (int part = 0; part < strip; ++part)
                    store(rows.data() + i * across + column + part * W,
                          tile[i][part] * (task.weights[first + i] + task.target_offset));
        });
        for (int i = 0; i < size; ++i)
            std::memcpy(parts + (first + i) * task.n_items, rows.data() + i * across,
                        sizeof(float) * task.n_items);
    }
}

}  // namespace native::NEXTUP_ISA
