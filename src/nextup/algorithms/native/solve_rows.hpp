// ALS half-steps: many small regularised least-squares systems by conjugate gradients.
//
// The factors have been rotated so that what all rows share is diagonal. A product with a row's
// matrix then costs one pass over the vectors y_j that the row touched and nothing else, and the
// diagonal preconditioner is exact for the shared part, which is why two steps suffice.
//
// Time goes into moving vectors: they are asked for ahead of their use, read where they lie (the
// caches keep a usual row's vectors from pass to pass), W of them at a time, once in each pass.

namespace native::NEXTUP_ISA {

constexpr int group = W < 8 ? W : 8;  // vectors read side by side: their sums fit into registers
constexpr std::int64_t bytes_ahead = 1 << 15;    // asked for before their use
constexpr std::int64_t cached_bytes = 1 << 20;  // of a row: half of a usual second-level cache

template <class Form>
class RowSolver {
    typedef typename Form::Cell Cell;
    typedef typename Form::Cells Cells;

public:
    RowSolver(const RowSystems& systems, const Cell* fixed, int cells, float* solutions)
        : systems_(systems),
          fixed_(fixed),
          solutions_(solutions),
          cells_(cells),
          width_(cells * Form::parts),
          nnz_(systems.touches.indptr[systems.touches.rows]),
          ahead_(std::max<std::int64_t>(W, bytes_ahead / (cells * sizeof(Cell)))),
          scratch_(width_ * 6 + 16) {
        float* next = aligned(scratch_.data());
        for (float** vector : {&residual_, &direction_, &image_, &shared_, &scale_, &solution_}) {
            *vector = next;
            next += width_;
        }
        absent_.resize(cells);
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
        cached_ = (last_ - first_) * cells_ * std::int64_t(sizeof(Cell)) <= cached_bytes;
        std::memcpy(solution_, solution, sizeof(float) * systems_.width);
        conjugate_gradients(systems_.ridge[row]);
        std::memcpy(solution, solution_, sizeof(float) * systems_.width);
    }

    void conjugate_gradients(float ridge) {
        start(ridge);
        float energy = precondition(0.0f, 0.0f);  // r^T M^-1 r
        const float enough = energy * systems_.tolerance * systems_.tolerance;
        for (int step = 1; energy > 0; ++step) {
            const bool ends = step >= systems_.steps;
            const float curvature = ends ? curvature_alone() : multiply();  // p^T A p
            if (!(curvature > 0)) return;
            const float length = energy / curvature;
            for (int c = 0; c < width_; c += W)
                store(solution_ + c, load(solution_ + c) + length * load(direction_ + c));
            if (ends) return;
            for (int c = 0; c < width_; c += W)
                store(residual_ + c, load(residual_ + c) - length * load(image_ + c));
            const float before = energy;
            energy = precondition(length, before);
            if (energy <= enough) return;
        }
    }

    // residual = b - A x and scale = 1 / diag(M).
    void start(float ridge) {
        for (int c = 0; c < systems_.width; c += W) {
            const Lanes shared = load(systems_.dense + c) + ridge;
            store(shared_ + c, shared);
            store(scale_ + c, shared);
            store(residual_ + c, -shared * load(solution_ + c));
        }
        for (std::int64_t at = first_; at < last_; at += W) {
            ask_for(at + ahead_, nnz_);
            find(at);
            const Lanes targets = load_some(systems_.targets + at, rows_) + systems_.target_offset;
            add_rows(targets - weights_at(at) * dots(solution_), residual_);
            if (systems_.jacobi) add_squares(at);
        }
        for (int c = 0; c < systems_.width; c += W) store(scale_ + c, 1.0f / load(scale_ + c));
    }

    // image = A p; returns p^T A p.
    float multiply() {
        for (int c = 0; c < width_; c += W)
            store(image_ + c, load(shared_ + c) * load(direction_ + c));
        for (std::int64_t at = first_; at < last_; at += W) {
            if (!cached_) ask_for(at + ahead_, last_);
            find(at);
            add_rows(weights_at(at) * dots(direction_), image_);
        }
        Lanes total{};
        for (int c = 0; c < width_; c += W) total += load(direction_ + c) * load(image_ + c);
        return sum(total);
    }

    // p^T A p without A p, which nobody wants after the last step.
    float curvature_alone() {
        Lanes total{};
        for (int c = 0; c < width_; c += W) {
            const Lanes p = load(direction_ + c);
            total += load(shared_ + c) * p * p;
        }
        for (std::int64_t at = first_; at < last_; at += W) {
            if (!cached_) ask_for(at + ahead_, last_);
            find(at);
            const Lanes along = dots(direction_);
            total += weights_at(at) * along * along;
        }
        return sum(total);
    }

    // p = M^-1 r + (new energy / old energy) p, without the second part at the start; returns
    // the new energy r^T M^-1 r.
    float precondition(float length, float energy_before) {
        Lanes total{};
        for (int c = 0; c < width_; c += W) {
            const Lanes r = load(residual_ + c);
            total += r * r * load(scale_ + c);
        }
        const float energy = sum(total);
        const float keep = length > 0 ? energy / energy_before : 0.0f;
        for (int c = 0; c < width_; c += W) {
            Lanes p = load(residual_ + c) * load(scale_ + c);
            if (keep > 0) p += keep * load(direction_ + c);
            store(direction_ + c, p);
        }
        return energy;
    }

    Lanes weights_at(std::int64_t at) const {
        return load_some(systems_.touches.values + at, rows_);
    }

    const Cell* vector_of(std::int64_t touch) const {
        return fixed_ + std::int64_t(systems_.touches.indices[touch]) * cells_;
    }

    // Have the vectors of W touches brought nearer.
    void ask_for(std::int64_t at, std::int64_t end) const {
        constexpr int line = 64 / sizeof(Cell);
        end = std::min(at + W, end);
        for (; at < end; ++at) {
            const Cell* vector = vector_of(at);
            for (int c = 0; c < cells_; c += line) __builtin_prefetch(vector + c);
        }
    }

    // Where the vectors of the W touches from `at` lie, zeros where the row has ended.
    void find(std::int64_t at) {
        rows_ = int(std::min<std::int64_t>(W, last_ - at));
        for (int r = 0; r < rows_; ++r) block_[r] = vector_of(at + r);
        for (int r = rows_; r < W; ++r) block_[r] = absent_.data();
    }

    // Lane r is y_r^T p.
    Lanes dots(const float* p) const {
        Lanes totals[W] = {};
        for (int first = 0; first < rows_; first += group) {
            const Cell* y[group];
            Lanes along[group] = {};
            for (int r = 0; r < group; ++r) y[r] = block_[first + r];
            for (int c = 0; c < cells_; c += W) {
                Lanes heads[Form::parts];
                for (int part = 0; part < Form::parts; ++part)
                    heads[part] = load(p + Form::offset(c, part));
                for (int r = 0; r < group; ++r) {
                    const Cells cells = load_cells(y[r] + c);
                    for (int part = 0; part < Form::parts; ++part)
                        along[r] += Form::part(cells, part) * heads[part];
                }
            }
            for (int r = 0; r < group; ++r) totals[first + r] = along[r];
        }
        return sum_each(totals);
    }

    // onto += sum_r coefficient_r y_r
    void add_rows(Lanes coefficients, float* onto) const {
        float each[W];
        store(each, coefficients);  // a broadcast from memory costs no shuffle
        for (int first = 0; first < rows_; first += group) {
            const Cell* y[group];
            Lanes k[group];
            for (int r = 0; r < group; ++r) {
                y[r] = block_[first + r];
                k[r] = broadcast(each[first + r]);
            }
            for (int c = 0; c < cells_; c += W) {
                Lanes even[Form::parts], odd[Form::parts] = {};  // two chains hide the latency
                for (int part = 0; part < Form::parts; ++part)
                    even[part] = load(onto + Form::offset(c, part));
                for (int r = 0; r < group; r += 2) {
                    const Cells a = load_cells(y[r] + c), b = load_cells(y[r + 1] + c);
                    for (int part = 0; part < Form::parts; ++part) {
                        even[part] += Form::part(a, part) * k[r];
                        odd[part] += Form::part(b, part) * k[r + 1];
                    }
                }
                for (int part = 0; part < Form::parts; ++part)
                    store(onto + Form::offset(c, part), even[part] + odd[part]);
            }
        }
    }

    // scale += sum_r w_r y_r^2, the diagonal of the sparse part
    void add_squares(std::int64_t at) {
        for (int r = 0; r < rows_; ++r) {
            const float weight = systems_.touches.values[at + r];
            for (int c = 0; c < cells_; c += W) {
                const Cells cells = load_cells(block_[r] + c);
                for (int part = 0; part < Form::parts; ++part) {
                    float* onto = scale_ + Form::offset(c, part);
                    const Lanes y = Form::part(cells, part);
                    store(onto, load(onto) + weight * y * y);
                }
            }
        }
    }

    static Cells load_cells(const Cell* from) {
        Cells cells;
        std::memcpy(&cells, from, sizeof cells);
        return cells;
    }

    const RowSystems& systems_;
    const Cell* fixed_;
    float* solutions_;
    int cells_;           // in a vector
    int width_;           // of the scratch vectors: what the cells hold, zeros at the end
    std::int64_t nnz_;
    std::int64_t ahead_;  // touches
    std::vector<float> scratch_;
    std::vector<Cell> absent_;
    float *residual_, *direction_, *image_, *shared_, *scale_, *solution_;
    std::int64_t first_ = 0, last_ = 0;  // the current row's touches
    bool cached_ = true;                 // they stay in the cache from pass to pass
    int rows_ = 0;                       // in the current block
    const Cell* block_[W];
};

inline void solve_rows(const RowSystems& systems, float* solutions, int threads) {
    const int width = systems.width;
    if (!systems.rounded) {
        share_out(systems.touches.rows, 32, threads, [&] {
            return RowSolver<Exact>(systems, systems.fixed, width, solutions);
        });
        return;
    }
    const int cells = rounded_cells(width);
    const LineAligned<std::uint32_t> rounded(systems.n_fixed * cells);
    share_out(systems.n_fixed, 1024, threads, [&] {
        return [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t row = first; row < last; ++row)
                round_vector(systems.fixed + row * width, width, rounded.data() + row * cells);
        };
    });
    share_out(systems.touches.rows, 32, threads, [&] {
        return RowSolver<Rounded>(systems, rounded.data(), cells, solutions);
    });
}

}  // namespace native::NEXTUP_ISA
