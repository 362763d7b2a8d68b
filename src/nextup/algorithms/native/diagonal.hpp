// The eigenvectors of a small symmetric matrix, in double precision and on one thread.
//
// Our own instead of LAPACK's: the matrices are small (one row for each factor), a training asks
// for dozens of them, and the threads of a BLAS library cost more to wake than there is to do.
// Householder reflections make the matrix tridiagonal; implicitly shifted QR steps do the rest.

namespace native::NEXTUP_ISA {

constexpr int D = W / 2;  // doubles in a register

typedef double Doubles __attribute__((vector_size(W * sizeof(float))));

inline Doubles load(const double* from) {
    Doubles lanes;
    __builtin_memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

inline void store(double* to, Doubles lanes) { __builtin_memcpy(to, &lanes, sizeof lanes); }

// Rows are padded with zeros to whole registers, and nothing here makes a padding non-zero.
class Diagonalisation {
public:
    // `gram` has rows of `stride`, of which `size` count.
    Diagonalisation(const float* gram, int stride, int size)
        : n_(size),
          width_((size + D - 1) / D * D),
          matrix_(std::size_t(n_) * width_),
          turned_(std::size_t(n_) * width_),
          diagonal_(n_),
          beside_(n_),
          strength_(n_),
          product_(width_) {
        for (int i = 0; i < n_; ++i)
            for (int j = 0; j < n_; ++j)
                row(i)[j] = 0.5 * (double(gram[i * stride + j]) + gram[j * stride + i]);
        make_tridiagonal();
        collect_reflections();
        make_diagonal();
    }

    // Largest first: values[c] and column c of the basis; rounding may leave no value below 0.
    void write(int stride, float* basis, float* values) const {
        std::vector<int> order(n_);
        for (int c = 0; c < n_; ++c) order[c] = c;
        std::stable_sort(order.begin(), order.end(),
                         [&](int a, int b) { return diagonal_[a] > diagonal_[b]; });
        for (int c = 0; c < n_; ++c) {
            values[c] = float(std::max(diagonal_[order[c]], 0.0));
            const double* vector = turned_.data() + std::size_t(order[c]) * width_;
            for (int i = 0; i < n_; ++i) basis[i * stride + c] = float(vector[i]);
        }
    }

private:
    double* row(int i) { return matrix_.data() + std::size_t(i) * width_; }
    double* turned(int i) { return turned_.data() + std::size_t(i) * width_; }

    // Row j keeps, right of the diagonal, the vector v of the reflection I - strength v v^T that
    // clears that row; `diagonal_` and `beside_` are what the reflections leave.
    void make_tridiagonal() {
        for (int j = 0; j + 1 < n_; ++j) {
            const int from = (j + 1) / D * D;  // registers that reach into the rest
            double* v = row(j);
            diagonal_[j] = v[j];
            std::fill(v + from, v + j + 1, 0.0);
            const double length = std::sqrt(dot(v, v, from));
            beside_[j] = v[j + 1] > 0 ? -length : length;
            v[j + 1] -= beside_[j];
            const double square = dot(v, v, from);
            strength_[j] = square > 0 ? 2 / square : 0;
            reflect_rest(j, from);
        }
        diagonal_[n_ - 1] = row(n_ - 1)[n_ - 1];
    }

    // H A H for the rows and columns after j, as A - v w^T - w v^T.
    void reflect_rest(int j, int from) {
        if (!strength_[j]) return;
        const double* v = row(j);
        std::fill(product_.begin(), product_.end(), 0.0);
        for (int i = j + 1; i < n_; ++i) product_[i] = strength_[j] * dot(row(i), v, from);
        const double half = 0.5 * strength_[j] * dot(product_.data(), v, from);
        for (int c = from; c < width_; c += D)
            store(&product_[c], load(&product_[c]) - half * load(v + c));
        for (int i = j + 1; i < n_; ++i) {
            double* own = row(i);
            const double a = v[i], b = product_[i];
            for (int c = from; c < width_; c += D)
                store(own + c, load(own + c) - a * load(&product_[c]) - b * load(v + c));
        }
    }

    // turned = (H_0 H_1 ...)^T, whose rows the QR steps then turn into eigenvectors.
    void collect_reflections() {
        for (int i = 0; i < n_; ++i) turned(i)[i] = 1;
        for (int j = n_ - 2; j >= 0; --j) {
            const int from = (j + 1) / D * D;
            const double* v = row(j);
            for (int i = j + 1; strength_[j] && i < n_; ++i) {
                double* own = turned(i);
                const double a = strength_[j] * dot(own, v, from);
                for (int c = from; c < width_; c += D)
                    store(own + c, load(own + c) - a * load(v + c));
            }
        }
    }

    void make_diagonal() {
        double size = 0;
        for (int i = 0; i < n_; ++i)
            size = std::max(size, std::abs(diagonal_[i]) + std::abs(beside_[i]));
        const double nothing = size * 1e-16;  // what rounding has added to every entry anyway
        int steps = 60 * n_;
        for (int last = n_ - 1; last > 0;) {
            if (std::abs(beside_[last - 1]) <= nothing) {
                beside_[--last] = 0;
                continue;
            }
            int first = last - 1;
            while (first > 0 && std::abs(beside_[first - 1]) > nothing) --first;
            if (--steps < 0 || !std::isfinite(size))
                throw std::invalid_argument("the factors are not finite");
            qr_step(first, last);
        }
    }

    // One QR step on the block [first, last] with Wilkinson's shift, the bulge chased downwards.
    void qr_step(int first, int last) {
        double *d = diagonal_.data(), *e = beside_.data();
        const double gap = (d[last - 1] - d[last]) / 2, corner = e[last - 1] * e[last - 1];
        const double root = std::sqrt(gap * gap + corner);
        const double shift = d[last] - corner / (gap + (gap < 0 ? -root : root));
        double x = d[first] - shift, bulge = e[first];
        for (int i = first; i < last; ++i) {
            const double length = std::sqrt(x * x + bulge * bulge);
            const double c = length > 0 ? x / length : 1, s = length > 0 ? bulge / length : 0;
            if (i > first) e[i - 1] = length;
            const double here = d[i], next = d[i + 1], between = e[i];
            d[i] = c * c * here + 2 * c * s * between + s * s * next;
            d[i + 1] = s * s * here - 2 * c * s * between + c * c * next;
            e[i] = c * s * (next - here) + (c * c - s * s) * between;
            if (i + 1 < last) {
                bulge = s * e[i + 1];
                e[i + 1] *= c;
                x = e[i];
            }
            turn(turned(i), turned(i + 1), c, s);
        }
    }

    void turn(double* a, double* b, double c, double s) const {
        for (int at = 0; at < width_; at += D) {
            const Doubles upper = load(a + at), lower = load(b + at);
            store(a + at, c * upper + s * lower);
            store(b + at, c * lower - s * upper);
        }
    }

    double dot(const double* a, const double* b, int from) const {
        Doubles even{}, odd{};
        int c = from;
        for (; c + 2 * D <= width_; c += 2 * D) {
            even += load(a + c) * load(b + c);
            odd += load(a + c + D) * load(b + c + D);
        }
        if (c < width_) even += load(a + c) * load(b + c);
        even += odd;
        double total = 0;
        for (int lane = 0; lane < D; ++lane) total += even[lane];
        return total;
    }

    int n_;
    int width_;
    std::vector<double> matrix_, turned_, diagonal_, beside_, strength_, product_;
};

inline void diagonalise(const float* gram, int width, int size, float* basis, float* values) {
    Diagonalisation(gram, width, size).write(width, basis, values);
}

}  // namespace native::NEXTUP_ISA
