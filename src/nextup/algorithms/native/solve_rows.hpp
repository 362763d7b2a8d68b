// ALS half-steps: many small regularised least-squares systems by conjugate gradients.
//
// The factors have been rotated so that what all rows share is diagonal. A product with a row's
// matrix then costs two passes over the vectors y_j that the row touched and nothing else, and
// the diagonal preconditioner is exact for the shared part, which is why two steps suffice.
//
// A row's vectors are gathered once into a panel: blocks of W vectors, within a block by columns
// of W floats, so that every later pass is one sequential read from the cache.

namespace native::NEXTUP_ISA {

constexpr std::int64_t panel_floats = 1 << 17;  // 512 KiB: half of a usual L2 cache

class RowSolver {
public:
    RowSolver(const RowSystems& systems, float* solutions)
        : systems_(systems),
          solutions_(solutions),
          columns_(systems.width / W),
          block_floats_(std::int64_t(W) * systems.width),
          capacity_(std::max<std::int64_t>(1, panel_floats / block_floats_)),
          nnz_(systems.touches.indptr[systems.touches.rows]),
          scratch_(systems.width * 5 + capacity_ * block_floats_ + 16) {
        float* next = aligned(scratch_.data());
        for (float** vector : {&residual_, &direction_, &image_, &scale_, &solution_}) {
            *vector = next;
            next += systems.width;
        }
        panel_ = next;
    }

    void operator()(std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) solve(row);
    }

private:
    static float* aligned(float* memory) {
        const auto address = reinterpret_cast<std::uintptr_t>(memory);
        return reinterpret_cast<float*>((address + 63) & ~std::uintptr_t(63));
    }

    void solve(std::int64_t row) {
        first_ = systems_.touches.indptr[row];
        last_ = systems_.touches.indptr[row + 1];
        float* solution = solutions_ + row * systems_.width;
        if (first_ == last_) {
            std::memset(solution, 0, sizeof(float) * systems_.width);
            return;
        }
        std::memcpy(solution_, solution, sizeof(float) * systems_.width);
        conjugate_gradients(systems_.ridge[row]);
        std::memcpy(solution, solution_, sizeof(float) * systems_.width);
    }

    void conjugate_gradients(float ridge) {
        start(ridge);
        float energy = precondition(0.0f, 0.0f);  // r^T M^-1 r
        const float enough = energy * systems_.tolerance * systems_.tolerance;
        for (int step = 1; energy > 0; ++step) {
            const float curvature = multiply(ridge);  // p^T A p
            if (!(curvature > 0)) return;
            const float length = energy / curvature;
            advance(length);
            if (step >= systems_.steps) return;
            const float before = energy;
            energy = precondition(length, before);
            if (energy <= enough) return;
        }
    }

    // residual = b - A x and scale = 1 / diag(M), gathering the panel on the way.
    void start(float ridge) {
        for (int c = 0; c < columns_; ++c) {
            const Lanes shared = load(systems_.dense + c * W) + ridge;
            store(residual_ + c * W, -shared * load(solution_ + c * W));
            store(scale_ + c * W, shared);
        }
        for (std::int64_t at = first_; at < last_; at += W) {
            const float* block = gather(at);
            const int rows = rows_at(at);
            const Lanes weights = load_some(systems_.touches.values + at, rows);
            const Lanes targets = load_some(systems_.targets + at, rows) + systems_.target_offset;
            add_rows(block, targets - weights * dots(block, solution_), residual_);
            if (systems_.jacobi) add_squares(block, at, rows);
        }
        for (int c = 0; c < columns_; ++c) store(scale_ + c * W, 1.0f / load(scale_ + c * W));
    }

    // image = A p; returns p^T A p.
    float multiply(float ridge) {
        for (int c = 0; c < columns_; ++c)
            store(image_ + c * W,
                  (load(systems_.dense + c * W) + ridge) * load(direction_ + c * W));
        const bool kept = last_ - first_ <= capacity_ * W;
        for (std::int64_t at = first_; at < last_; at += W) {
            const float* block = kept ? block_of(at) : gather(at);
            const Lanes weights = load_some(systems_.touches.values + at, rows_at(at));
            add_rows(block, weights * dots(block, direction_), image_);
        }
        return dot(direction_, image_);
    }

    // x += length p, r -= length A p
    void advance(float length) {
        for (int c = 0; c < columns_ * W; c += W) {
            store(solution_ + c, load(solution_ + c) + length * load(direction_ + c));
            store(residual_ + c, load(residual_ + c) - length * load(image_ + c));
        }
    }

    // p = M^-1 r + (new energy / old energy) p, without the second part at the start; returns
    // the new energy r^T M^-1 r.
    float precondition(float length, float energy_before) {
        Lanes total{};
        for (int c = 0; c < columns_ * W; c += W) {
            const Lanes r = load(residual_ + c);
            total += r * r * load(scale_ + c);
        }
        const float energy = sum(total);
        const float keep = length > 0 ? energy / energy_before : 0.0f;
        for (int c = 0; c < columns_ * W; c += W) {
            Lanes p = load(residual_ + c) * load(scale_ + c);
            if (keep > 0) p += keep * load(direction_ + c);
            store(direction_ + c, p);
        }
        return energy;
    }

    int rows_at(std::int64_t at) const { return int(std::min<std::int64_t>(W, last_ - at)); }

    float* block_of(std::int64_t at) const { return panel_ + (at - first_) / W * block_floats_; }

    // Copy the vectors of the touches from `at` into their block, zeros where the row has ended,
    // while those of the following block (often the next row's) come nearer.
    float* gather(std::int64_t at) {
        const bool kept = last_ - first_ <= capacity_ * W;
        float* block = kept ? block_of(at) : panel_;
        const int rows = rows_at(at);
        for (int r = 0; r < W; ++r) {
            const float* from = vector_of(at + std::min(r, rows - 1));
            const float* soon = vector_of(std::min(at + rows + r, nnz_ - 1));
            for (int c = 0; c < columns_; ++c) {
                if (c * W % 16 == 0) __builtin_prefetch(soon + c * W);
                store(block + (c * W + r) * W, r < rows ? load(from + c * W) : Lanes{});
            }
        }
        return block;
    }

    const float* vector_of(std::int64_t touch) const {
        return systems_.fixed + std::int64_t(systems_.touches.indices[touch]) * systems_.width;
    }

    // Lane r is y_r^T p.
    Lanes dots(const float* block, const float* p) const {
        Lanes totals[W];
        const Lanes head = load(p);
        for (int r = 0; r < W; ++r) totals[r] = load(block + r * W) * head;
        for (int c = 1; c < columns_; ++c) {
            block += W * W;
            const Lanes part = load(p + c * W);
            for (int r = 0; r < W; ++r) totals[r] += load(block + r * W) * part;
        }
        return sum_each(totals);
    }

    // onto += sum_r coefficient_r y_r; the vectors of absent touches are zero
    void add_rows(const float* block, Lanes coefficients, float* onto) const {
        float each[W];
        store(each, coefficients);  // a broadcast from memory costs no shuffle
        Lanes k[W];
        for (int r = 0; r < W; ++r) k[r] = broadcast(each[r]);
        for (int c = 0; c < columns_; ++c, block += W * W) {
            Lanes even = load(onto + c * W), odd{};  // two chains hide the latency of a sum
            for (int r = 0; r < W; r += 2) {
                even += load(block + r * W) * k[r];
                odd += load(block + (r + 1) * W) * k[r + 1];
            }
            store(onto + c * W, even + odd);
        }
    }

    // scale += sum_r w_r y_r^2, the diagonal of the sparse part
    void add_squares(const float* block, std::int64_t at, int rows) {
        for (int c = 0; c < columns_; ++c, block += W * W) {
            Lanes total = load(scale_ + c * W);
            for (int r = 0; r < rows; ++r) {
                const Lanes y = load(block + r * W);
                total += systems_.touches.values[at + r] * y * y;
            }
            store(scale_ + c * W, total);
        }
    }

    float dot(const float* a, const float* b) const {
        Lanes total{};
        for (int c = 0; c < columns_ * W; c += W) total += load(a + c) * load(b + c);
        return sum(total);
    }

    const RowSystems& systems_;
    float* solutions_;
    int columns_;                // registers in a vector
    std::int64_t block_floats_;  // of W vectors
    std::int64_t capacity_;      // blocks in the panel; longer rows are gathered in every pass
    std::int64_t nnz_;
    std::vector<float> scratch_;
    float *residual_, *direction_, *image_, *scale_, *solution_, *panel_;
    std::int64_t first_ = 0, last_ = 0;  // the current row's touches
};

inline void solve_rows(const RowSystems& systems, float* solutions, int threads) {
    share_out(systems.touches.rows, 32, threads, [&] { return RowSolver(systems, solutions); });
}

}  // namespace native::NEXTUP_ISA
