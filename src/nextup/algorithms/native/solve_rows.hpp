// ALS half-steps: many small regularised least-squares systems by conjugate gradients.
//
// The factors have been rotated so that what all rows share is diagonal. A product with a row's
// matrix then costs one pass over the vectors y_j that the row touched and nothing else, and the
// diagonal preconditioner is exact for the shared part, which is why two steps suffice.
//
// Time goes into moving vectors. They are asked for ahead of their use and laid side by side in a
// panel, which the caches keep from pass to pass; a pass reads them W at a time, once.

namespace native::NEXTUP_ISA {

constexpr std::int64_t bytes_ahead = 1 << 15;  // asked for before their use
constexpr std::int64_t panel_bytes = 1 << 20;  // at most: half of a usual second-level cache

// `Strips` says how many registers the cells of a vector fill, so that a sum over vectors can stay
// in registers; 0 is for any number.
template <class Form, int Strips = 0>
class RowSolver {
    typedef typename Form::Cell Cell;
    typedef typename Form::Cells Cells;

public:
    RowSolver(const RowSystems& systems, const Cell* fixed, int cells, float* solutions)
        : systems_(systems),
          fixed_(fixed),
          solutions_(solutions),
          cells_(cells),
          used_(systems.width / W),
          registers_(strips() * Form::parts),
          nnz_(systems.touches.indptr[systems.touches.rows]),
          ahead_(std::max<std::int64_t>(W, bytes_ahead / (cells * sizeof(Cell)))),
          most_kept_(std::max<std::int64_t>(2 * W, panel_bytes / (cells * sizeof(Cell)) / W * W)),
          scratch_(std::int64_t(registers_) * 6 * W) {
        std::memset(scratch_.data(), 0, sizeof(float) * registers_ * 6 * W);
        Lanes* next = reinterpret_cast<Lanes*>(scratch_.data());
        for (Lanes** vector : {&residual_, &direction_, &image_, &shared_, &scale_, &solution_}) {
            *vector = next;
            next += registers_;
        }
    }

    void operator()(std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) solve(row);
    }

private:
    int strips() const { return Strips ? Strips : cells_ / W; }
    static int lanes_of(int strip, int part) { return Form::offset(strip * W, part) / W; }

    void solve(std::int64_t row) {
        first_ = systems_.touches.indptr[row];
        last_ = systems_.touches.indptr[row + 1];
        float* solution = solutions_ + row * systems_.width;
        if (first_ == last_) {
            std::memset(solution, 0, sizeof(float) * systems_.width);
            return;
        }
        make_room(last_ - first_);
        for (int i = 0; i < used_; ++i) solution_[i] = load(solution + i * W);
        conjugate_gradients(systems_.ridge[row]);
        for (int i = 0; i < used_; ++i) {
            const Lanes way = solution_[i] - load(solution + i * W);
            store(solution + i * W, solution_[i] + (systems_.reach - 1) * way);
        }
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
            for (int i = 0; i < registers_; ++i) solution_[i] += length * direction_[i];
            if (ends) return;
            for (int i = 0; i < registers_; ++i) residual_[i] -= length * image_[i];
            const float before = energy;
            energy = precondition(length, before);
            if (energy <= enough) return;
        }
    }

    // residual = b - A x and scale = 1 / diag(M).
    void start(float ridge) {
        for (int i = 0; i < used_; ++i) {
            scale_[i] = shared_[i] = load(systems_.dense + i * W) + ridge;
            residual_[i] = -shared_[i] * solution_[i];
        }
        add_vectors(true, solution_, residual_, [&](std::int64_t at, Lanes along) {
            return some(systems_.targets + at, at) + systems_.target_offset -
                   some(systems_.touches.values + at, at) * along;
        });
        if (systems_.jacobi) for_each_block(false, [&](std::int64_t at) { add_squares(at); });
        for (int i = 0; i < used_; ++i) scale_[i] = 1.0f / scale_[i];
    }

    // image = A p; returns p^T A p.
    float multiply() {
        for (int i = 0; i < registers_; ++i) image_[i] = shared_[i] * direction_[i];
        add_vectors(false, direction_, image_, [&](std::int64_t at, Lanes along) {
            return some(systems_.touches.values + at, at) * along;
        });
        Lanes total{};
        for (int i = 0; i < registers_; ++i) total += direction_[i] * image_[i];
        return sum(total);
    }

    // p^T A p without A p, which nobody wants after the last step.
    float curvature_alone() {
        Lanes total{};
        for (int i = 0; i < registers_; ++i) total += shared_[i] * direction_[i] * direction_[i];
        for_each_block(false, [&](std::int64_t at) {
            const Lanes along = dots(direction_);
            total += some(systems_.touches.values + at, at) * along * along;
        });
        return sum(total);
    }

    // p = M^-1 r + (new energy / old energy) p, without the second part at the start; returns
    // the new energy r^T M^-1 r.
    float precondition(float length, float energy_before) {
        Lanes total{};
        for (int i = 0; i < registers_; ++i) total += residual_[i] * residual_[i] * scale_[i];
        const float energy = sum(total);
        const float keep = length > 0 ? energy / energy_before : 0.0f;
        for (int i = 0; i < registers_; ++i) {
            const Lanes p = residual_[i] * scale_[i];
            direction_[i] = keep > 0 ? p + keep * direction_[i] : p;
        }
        return energy;
    }

    // The row's numbers from `at` on. Those of the next row may come behind them, to be multiplied
    // by the zeros that stand there for vectors.
    Lanes some(const float* numbers, std::int64_t at) const {
        return load_some(numbers, at + W <= nnz_ ? W : rows_);
    }

    // onto += sum_j coefficient(y_j^T p) y_j
    template <class Coefficient>
    void add_vectors(bool arriving, const Lanes* p, Lanes* onto, const Coefficient& coefficient) {
        if constexpr (Strips > 0) {
            constexpr int count = Strips * Form::parts;
            Lanes sums[count];
            for (int i = 0; i < count; ++i) sums[i] = onto[i];
            for_each_block(arriving, [&](std::int64_t at) { add(coefficient(at, dots(p)), sums); });
            for (int i = 0; i < count; ++i) onto[i] = sums[i];
        } else {
            for_each_block(arriving, [&](std::int64_t at) { add(coefficient(at, dots(p)), onto); });
        }
    }

    // Calls visit(at) for the row's touches, W at a time, whose vectors are then in `block_`, with
    // zeros behind a last block's. Arriving at a row, its vectors are brought there first; a row
    // that has no room in the panel has them brought anew for each pass.
    template <class Visit>
    void for_each_block(bool arriving, const Visit& visit) {
        const bool brings = arriving || !kept_;
        if (brings) bring(first_);
        for (std::int64_t at = first_; at < last_; at += W) {
            if (brings) {
                ask_for(at + ahead_, arriving ? nnz_ : last_);
                if (at + W < last_) bring(at + W);  // while the CPU waits, it works on this block
            }
            rows_ = int(std::min<std::int64_t>(W, last_ - at));
            block_ = place_of(at);
            visit(at);
        }
    }

    void make_room(std::int64_t touches) {
        const std::int64_t blocks = (touches + W - 1) / W * W;
        kept_ = blocks <= most_kept_;
        const std::int64_t wanted = kept_ ? blocks : 2 * W;
        if (wanted <= room_) return;
        room_ = std::max(wanted, std::min(2 * room_, most_kept_));
        panel_.emplace(room_ * cells_);
    }

    // Of W vectors the panel has all first strips, then all second ones, and so on.
    Cells* place_of(std::int64_t at) const {
        const std::int64_t place = at - first_;
        return reinterpret_cast<Cells*>(panel_->data()) +
               (kept_ ? place : place % (2 * W)) * strips();
    }

    void bring(std::int64_t at) {
        const int rows = int(std::min<std::int64_t>(W, last_ - at)), size = strips();
        const std::int32_t* touched = systems_.touches.indices + at;
        const Cell* const fixed = fixed_;
        Cells* to = place_of(at);
        for (int r = 0; r < rows; ++r) {
            const Cell* vector = fixed + std::int64_t(touched[r]) * size * W;
            for (int s = 0; s < size; ++s) std::memcpy(to + s * W + r, vector + s * W, sizeof *to);
        }
        for (int r = rows; r < W; ++r)
            for (int s = 0; s < size; ++s) to[s * W + r] = Cells{};
    }

    // Have the vectors of W touches brought nearer.
    void ask_for(std::int64_t at, std::int64_t end) const {
        constexpr int line = 64 / sizeof(Cell);
        const int size = strips() * W;
        end = std::min(at + W, end);
        for (; at < end; ++at) {
            const Cell* vector = fixed_ + std::int64_t(systems_.touches.indices[at]) * size;
            for (int c = 0; c < size; c += line) __builtin_prefetch(vector + c);
        }
    }

    // Lane r is y_r^T p.
    Lanes dots(const Lanes* p) const {
        Lanes along[W] = {};
        if (rows_ > W / 2)
            add_dots<W>(p, along);
        else
            add_dots<W / 2>(p, along);
        return sum_each(along);
    }

    template <int rows>
    void add_dots(const Lanes* p, Lanes (&along)[W]) const {
        for (int s = 0; s < strips(); ++s) {
            Lanes heads[Form::parts];
            for (int part = 0; part < Form::parts; ++part) heads[part] = p[lanes_of(s, part)];
#pragma GCC unroll 16
            for (int r = 0; r < rows; ++r)
                for (int part = 0; part < Form::parts; ++part)
                    along[r] += Form::part(block_[s * W + r], part) * heads[part];
        }
    }

    // onto += sum_r coefficient_r y_r
    void add(Lanes coefficients, Lanes* onto) const {
        float each[W];
        store(each, coefficients);
        leave_in_memory(each);  // a broadcast from there costs no shuffle
        if (rows_ > W / 2)
            add_rows<W>(each, onto);
        else
            add_rows<W / 2>(each, onto);
    }

    template <int rows>
    void add_rows(const float* each, Lanes* onto) const {
        for (int s = 0; s < strips(); ++s) {
            Lanes even[Form::parts], odd[Form::parts] = {};  // two chains hide the latency
            for (int part = 0; part < Form::parts; ++part) even[part] = onto[lanes_of(s, part)];
#pragma GCC unroll 16
            for (int r = 0; r < rows; r += 2)
                for (int part = 0; part < Form::parts; ++part) {
                    even[part] += Form::part(block_[s * W + r], part) * broadcast(each[r]);
                    odd[part] += Form::part(block_[s * W + r + 1], part) * broadcast(each[r + 1]);
                }
            for (int part = 0; part < Form::parts; ++part)
                onto[lanes_of(s, part)] = even[part] + odd[part];
        }
    }

    // scale += sum_r w_r y_r^2, the diagonal of the sparse part
    void add_squares(std::int64_t at) {
        for (int r = 0; r < rows_; ++r) {
            const float weight = systems_.touches.values[at + r];
            for (int s = 0; s < strips(); ++s)
                for (int part = 0; part < Form::parts; ++part) {
                    const Lanes y = Form::part(block_[s * W + r], part);
                    scale_[lanes_of(s, part)] += weight * y * y;
                }
        }
    }

    const RowSystems& systems_;
    const Cell* fixed_;
    float* solutions_;
    int cells_;      // in a vector
    int used_;       // registers that a solution fills
    int registers_;  // of the scratch vectors: what the cells hold, zeros at the end
    std::int64_t nnz_;
    std::int64_t ahead_;      // touches
    std::int64_t most_kept_;  // touches that the panel may hold
    LineAligned<float> scratch_;
    Lanes *residual_, *direction_, *image_, *shared_, *scale_, *solution_;
    std::optional<LineAligned<Cell>> panel_;
    std::int64_t room_ = 0;              // touches that the panel holds
    std::int64_t first_ = 0, last_ = 0;  // the current row's touches
    bool kept_ = true;                   // its vectors stay in the panel from pass to pass
    int rows_ = 0;                       // in the current block
    const Cells* block_ = nullptr;
};

template <class Form, int Strips = 0>
inline void solve_all(const RowSystems& systems, const typename Form::Cell* fixed, int cells,
                      float* solutions, int threads) {
    share_out(systems.touches.rows, 32, threads, [&] {
        return RowSolver<Form, Strips>(systems, fixed, cells, solutions);
    });
}

inline void solve_rows(const RowSystems& systems, float* solutions, int threads) {
    const int width = systems.width;
    if (!systems.rounded) {
        solve_all<Exact>(systems, systems.fixed, width, solutions, threads);
        return;
    }
    constexpr int usual = 32;  // cells of 64 factors
    const int cells = rounded_cells(width);
    const LineAligned<std::uint32_t> rounded(systems.n_fixed * cells);
    share_out(systems.n_fixed, 1024, threads, [&] {
        return [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t row = first; row < last; ++row)
                round_vector(systems.fixed + row * width, width, rounded.data() + row * cells);
        };
    });
    if (cells == usual)
        solve_all<Rounded, usual / W>(systems, rounded.data(), cells, solutions, threads);
    else
        solve_all<Rounded>(systems, rounded.data(), cells, solutions, threads);
}

}  // namespace native::NEXTUP_ISA
