// The door between Python and the kernels: checks every array, releases the GIL, calls.
//
// Only the limited API is used, so that one build serves every Python from 3.11 on. Arguments
// come by position; `_kernels.pyi` has their names and shapes.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <limits>
#include <new>
#include <stdexcept>
#include <string>

#include "kernels.hpp"

namespace {

using namespace native;

// Thrown where a Python exception has been set already.
struct PythonError {};

template <class T>
constexpr bool is_format(char format);
template <>
constexpr bool is_format<float>(char format) { return format == 'f'; }
template <>
constexpr bool is_format<bool>(char format) { return format == '?'; }
template <>
constexpr bool is_format<std::int8_t>(char format) { return format == 'b'; }
template <>
constexpr bool is_format<std::int32_t>(char format) {
    return format == 'i' || (sizeof(long) == 4 && format == 'l');
}
template <>
constexpr bool is_format<std::int64_t>(char format) {
    return (sizeof(long) == 8 && format == 'l') || format == 'q';
}

// A C-contiguous array of T, held until the end of the call.
template <class T>
class Array {
public:
    Array(PyObject* object, const char* name, int flags = 0) {
        if (PyObject_GetBuffer(object, &view_, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) != 0)
            throw PythonError();
        if (view_.itemsize != sizeof(T) || !is_format<T>(view_.format[0])) {
            PyBuffer_Release(&view_);
            throw std::invalid_argument(std::string(name) + " has the wrong type of number");
        }
    }
    Array(const Array&) = delete;
    ~Array() { PyBuffer_Release(&view_); }

    T* data() const { return static_cast<T*>(view_.buf); }
    std::int64_t size() const { return view_.len / std::int64_t(sizeof(T)); }
    std::int64_t columns() const { return view_.ndim == 2 ? view_.shape[1] : 1; }
    std::int64_t rows() const { return view_.ndim ? view_.shape[0] : 0; }

private:
    Py_buffer view_;
};

template <class T>
struct Output : Array<T> {
    Output(PyObject* object, const char* name) : Array<T>(object, name, PyBUF_WRITABLE) {}
};

struct Released {  // the GIL
    PyThreadState* state = PyEval_SaveThread();
    ~Released() { PyEval_RestoreThread(state); }
};

struct ReleasedIf {  // what is over in microseconds is not worth handing the GIL over and waiting
    PyThreadState* state;
    explicit ReleasedIf(bool many) : state(many ? PyEval_SaveThread() : nullptr) {}
    ~ReleasedIf() {
        if (state) PyEval_RestoreThread(state);
    }
};

long long whole(PyObject* object) {
    const long long value = PyLong_AsLongLong(object);
    if (value == -1 && PyErr_Occurred()) throw PythonError();
    return value;
}

double precise(PyObject* object) {
    const double value = PyFloat_AsDouble(object);
    if (value == -1 && PyErr_Occurred()) throw PythonError();
    return value;
}

float real(PyObject* object) { return float(precise(object)); }

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

void require_in_range(const std::int32_t* indices, std::int64_t n, std::int64_t size) {
    bool inside = true;
    for (std::int64_t i = 0; i < n; ++i)
        inside &= std::uint32_t(indices[i]) < std::uint64_t(size);
    require(inside, "an index is out of range");
}

// Row bounds that ascend from 0 to the number of touches, and indices below `columns`.
Sparse checked(const Array<std::int64_t>& indptr, const Array<std::int32_t>& indices,
               const float* values, std::int64_t columns) {
    const std::int64_t rows = indptr.size() - 1;
    require(rows >= 0 && indptr.data()[0] == 0 && indptr.data()[rows] == indices.size(),
            "indptr does not match the indices");
    bool ascending = true;
    for (std::int64_t row = 0; row < rows; ++row)
        ascending &= indptr.data()[row] <= indptr.data()[row + 1];
    require(ascending, "indptr does not ascend");
    require_in_range(indices.data(), indices.size(), columns);
    return {indptr.data(), indices.data(), values, rows};
}

int width_of(const Array<float>& factors) {
    require(factors.columns() % 16 == 0 && factors.columns() > 0,
            "the width of factors must be a multiple of 16");
    return int(factors.columns());
}

PyObject* none() {
    Py_INCREF(Py_None);
    return Py_None;
}

using Arguments = PyObject* const*;

PyObject* instruction_set(Arguments) { return PyUnicode_FromString(best_kernels().name); }

PyObject* transpose_matrix(Arguments a) {
    const Array<std::int64_t> indptr(a[0], "indptr");
    const Array<std::int32_t> indices(a[1], "indices");
    const Array<float> values(a[2], "values");
    const Output<std::int64_t> to_indptr(a[3], "to_indptr");
    const Output<std::int32_t> to_indices(a[4], "to_indices");
    const Output<float> to_values(a[5], "to_values");
    const int threads = int(whole(a[6]));
    const std::int64_t columns = to_indptr.size() - 1, nnz = indices.size();
    require(columns >= 0 && values.size() == nnz && to_indices.size() == nnz &&
                to_values.size() == nnz,
            "the arrays differ in length");
    const Released gil;
    transpose(checked(indptr, indices, values.data(), columns), columns, to_indptr.data(),
              to_indices.data(), to_values.data(), threads);
    return nullptr;
}

PyObject* solve_rows(Arguments a) {
    const Array<std::int64_t> indptr(a[0], "indptr");
    const Array<std::int32_t> indices(a[1], "indices");
    const Array<float> weights(a[2], "weights"), targets(a[3], "targets");
    const float target_offset = real(a[4]);
    const Array<float> fixed(a[5], "fixed"), dense(a[6], "dense"), ridge(a[7], "ridge");
    const bool jacobi = whole(a[8]);
    const int steps = int(whole(a[9]));
    const float tolerance = real(a[10]);
    const float reach = real(a[11]);
    const bool rounded = whole(a[12]);
    const Output<float> solutions(a[13], "solutions");
    const int threads = int(whole(a[14])), width = width_of(fixed);
    require(weights.size() == indices.size() && targets.size() == indices.size() &&
                dense.size() == width && ridge.size() == indptr.size() - 1 &&
                solutions.columns() == width && solutions.rows() == ridge.size(),
            "the arrays' shapes do not fit together");
    const Released gil;
    best_kernels().solve_rows({checked(indptr, indices, weights.data(), fixed.rows()),
                               targets.data(), target_offset, fixed.data(), fixed.rows(),
                               dense.data(), ridge.data(), width, jacobi, steps, tolerance,
                               reach, rounded},
                              solutions.data(), threads);
    return nullptr;
}

// One row without the ceremony: the GIL is kept, because it takes microseconds.
PyObject* solve_row(Arguments a) {
    const Array<std::int32_t> indices(a[0], "indices");
    const Array<float> weights(a[1], "weights");
    const float target_offset = real(a[2]);
    const Array<float> fixed(a[3], "fixed"), dense(a[4], "dense");
    const float ridge = real(a[5]);
    const int steps = int(whole(a[6]));
    const float tolerance = real(a[7]);
    const Output<float> solution(a[8], "solution");
    const int width = width_of(fixed);
    require(weights.size() == indices.size() && dense.size() == width && solution.size() == width,
            "the arrays' shapes do not fit together");
    require_in_range(indices.data(), indices.size(), fixed.rows());
    for (std::int64_t i = 0; i < weights.size(); ++i)
        require(weights.data()[i] > 0 && weights.data()[i] <= std::numeric_limits<float>::max(),
                "a weight is not a positive, finite number");
    const std::int64_t indptr[2] = {0, indices.size()};
    best_kernels().solve_rows(
        {{indptr, indices.data(), weights.data(), 1}, weights.data(), target_offset, fixed.data(),
         fixed.rows(), dense.data(), &ridge, width, false, steps, tolerance, 1.0f, false},
        solution.data(), 1);
    return nullptr;
}

PyObject* gram(Arguments a) {
    const Array<float> vectors(a[0], "vectors");
    const Output<float> products(a[1], "products");
    const int threads = int(whole(a[2])), width = width_of(vectors);
    require(products.rows() == width && products.columns() == width,
            "the arrays' shapes do not fit together");
    const Released gil;
    best_kernels().gram(vectors.data(), vectors.rows(), width, products.data(), threads);
    return nullptr;
}

PyObject* diagonalise(Arguments a) {
    const Array<float> products(a[0], "products");
    const int size = int(whole(a[1]));
    const Output<float> basis(a[2], "basis"), values(a[3], "values");
    const int width = width_of(products);
    require(products.rows() == width && basis.rows() == width && basis.columns() == width &&
                values.size() == width && size > 0 && size <= width,
            "the arrays' shapes do not fit together");
    const Released gil;
    best_kernels().diagonalise(products.data(), width, size, basis.data(), values.data());
    return nullptr;
}

PyObject* rotate(Arguments a) {
    const Array<float> basis(a[0], "basis");
    const Output<float> vectors(a[1], "vectors");
    const int threads = int(whole(a[2])), width = width_of(vectors);
    require(basis.rows() == width && basis.columns() == width,
            "the arrays' shapes do not fit together");
    const Released gil;
    best_kernels().rotate(vectors.data(), vectors.rows(), width, basis.data(), threads);
    return nullptr;
}

PyObject* score(Arguments a) {
    const Array<float> vectors(a[0], "vectors"), query(a[1], "query");
    const Output<float> scores(a[2], "scores");
    const int threads = int(whole(a[3])), width = width_of(vectors);
    require(query.size() == width && scores.size() == vectors.rows(),
            "the arrays' shapes do not fit together");
    const Released gil;
    best_kernels().score(vectors.data(), vectors.rows(), width, query.data(), scores.data(),
                         threads);
    return nullptr;
}

// The GIL is kept, as for `solve_row`.
PyObject* trace(Arguments a) {
    const Array<float> vectors(a[0], "vectors");
    const Array<std::int32_t> touched(a[1], "touched");
    const Array<float> weights(a[2], "weights");
    const float target_offset = real(a[3]);
    const Array<float> dense(a[4], "dense");
    const float ridge = real(a[5]);
    const Array<std::int32_t> items(a[6], "items");
    const Output<float> parts(a[7], "parts");
    const int width = width_of(vectors);
    require(weights.size() == touched.size() && dense.size() == width &&
                parts.size() == touched.size() * items.size() && items.size() < 1 << 20,
            "the arrays' shapes do not fit together");
    require_in_range(touched.data(), touched.size(), vectors.rows());
    require_in_range(items.data(), items.size(), vectors.rows());
    best_kernels().trace({vectors.data(), touched.data(), weights.data(), touched.size(),
                          target_offset, dense.data(), ridge, items.data(), items.size(), width},
                         parts.data());
    return nullptr;
}

PyObject* rank(Arguments a) {
    const Array<float> queries(a[0], "queries"), items(a[1], "items"), norms(a[2], "norms");
    const Array<std::int32_t> ids(a[3], "ids");
    const Array<std::int64_t> indptr(a[4], "indptr");
    const Array<std::int32_t> excluded(a[5], "excluded");
    const Output<std::int32_t> best_items(a[6], "best_items");
    const Output<float> best_scores(a[7], "best_scores");
    const int threads = int(whole(a[8])), width = width_of(items);
    const std::int64_t limit = best_items.columns();
    require(queries.columns() == width && norms.size() == ids.size() &&
                best_items.rows() == queries.rows() && indptr.size() == queries.rows() + 1 &&
                best_scores.size() == best_items.size() && limit > 0 && limit < 1 << 30,
            "the arrays' shapes do not fit together");
    require_in_range(ids.data(), ids.size(), items.rows());
    const Released gil;
    best_kernels().rank({queries.data(), queries.rows(), items.data(), items.rows(), norms.data(),
                         ids.data(), ids.size(), width, checked(indptr, excluded, nullptr, items.rows()),
                         int(limit)},
                        best_items.data(), best_scores.data(), threads);
    return nullptr;
}

PyObject* select_best(Arguments a) {
    const Array<float> scores(a[0], "scores");
    const Array<std::int64_t> indptr(a[1], "indptr");
    const Array<std::int32_t> excluded(a[2], "excluded");
    const Output<std::int32_t> items(a[3], "items");
    const Output<float> best(a[4], "best");
    const int threads = int(whole(a[5]));
    const std::int64_t columns = scores.columns(), limit = items.columns();
    require(indptr.size() == scores.rows() + 1 && items.rows() == scores.rows() &&
                best.size() == items.size() && limit > 0 && limit < 1 << 30 &&
                columns < std::int64_t(1) << 31,
            "the arrays' shapes do not fit together");
    const Released gil;
    select_rows(scores.data(), checked(indptr, excluded, nullptr, columns), columns, int(limit),
                items.data(), best.data(), threads);
    return nullptr;
}

PyObject* find_neighbours(Arguments a) {
    const Array<std::int64_t> item_indptr(a[0], "item_indptr");
    const Array<std::int32_t> users(a[1], "users");
    const Array<float> item_values(a[2], "item_values");
    const Array<std::int64_t> user_indptr(a[3], "user_indptr");
    const Array<std::int32_t> items(a[4], "items");
    const Array<float> user_values(a[5], "user_values");
    const Output<std::int32_t> best_items(a[6], "best_items");
    const Output<float> best_scores(a[7], "best_scores");
    const int threads = int(whole(a[8]));
    const std::int64_t n_items = item_indptr.size() - 1, n_users = user_indptr.size() - 1;
    const std::int64_t limit = best_items.columns();
    require(item_values.size() == users.size() && user_values.size() == items.size() &&
                best_items.rows() == n_items && best_scores.size() == best_items.size() &&
                limit > 0 && limit < 1 << 30,
            "the arrays' shapes do not fit together");
    const Released gil;
    neighbours({checked(item_indptr, users, item_values.data(), n_users),
                checked(user_indptr, items, user_values.data(), n_items), int(limit)},
               best_items.data(), best_scores.data(), threads);
    return nullptr;
}

PyObject* rank_by_neighbours(Arguments a) {
    const Array<std::int64_t> indptr(a[0], "indptr");
    const Array<std::int32_t> items(a[1], "items");
    const Array<float> weights(a[2], "weights");
    const Array<std::int32_t> neighbour_items(a[3], "neighbour_items");
    const Array<float> similarities(a[4], "similarities");
    const bool exclude_seen = whole(a[5]);
    const Output<std::int32_t> best_items(a[6], "best_items");
    const Output<float> best_scores(a[7], "best_scores");
    const int threads = int(whole(a[8]));
    const std::int64_t n_items = neighbour_items.rows(), limit = best_items.columns();
    require(weights.size() == items.size() && similarities.size() == neighbour_items.size() &&
                best_items.rows() == indptr.size() - 1 &&
                best_scores.size() == best_items.size() && limit > 0 && limit < 1 << 30,
            "the arrays' shapes do not fit together");
    for (std::int64_t i = 0; i < neighbour_items.size(); ++i)
        require(neighbour_items.data()[i] < n_items, "a neighbour is out of range");
    const Released gil;
    rank_neighbours({checked(indptr, items, weights.data(), n_items), neighbour_items.data(),
                     similarities.data(), n_items, int(neighbour_items.columns()), int(limit),
                     exclude_seen},
                    best_items.data(), best_scores.data(), threads);
    return nullptr;
}

PyObject* blend_rankings(Arguments a) {
    const Array<std::int32_t> given(a[0], "items");
    const Array<float> scores(a[1], "scores");
    const Array<float> weights(a[2], "weights");
    const std::int64_t n_items = whole(a[3]);
    const Array<std::int64_t> indptr(a[4], "indptr");
    const Array<std::int32_t> excluded(a[5], "excluded");
    const Output<std::int32_t> best_items(a[6], "best_items");
    const Output<float> best_scores(a[7], "best_scores");
    const Output<std::int8_t> sources(a[8], "sources");
    const int threads = int(whole(a[9]));
    const std::int64_t parts = weights.size(), people = best_items.rows();
    const std::int64_t limit = best_items.columns();
    const std::int64_t depth = parts && people ? given.size() / parts / people : 0;
    require(parts < 1 << 7 && given.size() == parts * people * depth &&
                scores.size() == given.size() && indptr.size() == people + 1 &&
                best_scores.size() == best_items.size() && sources.size() == best_items.size() &&
                limit > 0 && limit < 1 << 30 && depth < 1 << 30 && n_items >= 0 &&
                n_items < std::int64_t(1) << 31,
            "the arrays' shapes do not fit together");
    bool inside = true;
    for (std::int64_t at = 0; at < given.size(); ++at)
        inside &= !(scores.data()[at] > 0) ||
                  std::uint32_t(given.data()[at]) < std::uint64_t(n_items);
    require(inside, "an index is out of range");
    const Released gil;
    blend({given.data(), scores.data(), weights.data(), int(parts), int(depth), n_items,
           checked(indptr, excluded, nullptr, n_items), int(limit)},
          best_items.data(), best_scores.data(), sources.data(), threads);
    return nullptr;
}

struct AllowedScores {  // what the next three take first
    const Array<float> scores;
    const Array<bool> allowed;
    const bool many;  // so many that others should not wait for the GIL

    explicit AllowedScores(Arguments a)
        : scores(a[0], "scores"), allowed(a[1], "allowed"), many(scores.size() > 1 << 18) {
        require(allowed.size() == scores.size() && scores.size() < std::int64_t(1) << 31,
                "the arrays differ in length");
    }
};

PyObject* find_most_allowed(Arguments a) {
    const AllowedScores given(a);
    float most = 0.0f;
    {
        const ReleasedIf gil(given.many);
        most = best_kernels().most_allowed(given.scores.data(), given.allowed.data(),
                                           given.scores.size());
    }
    return PyFloat_FromDouble(most);
}

PyObject* add_one_opinion(Arguments a) {
    const AllowedScores given(a);
    const double weight = precise(a[2]);
    const Output<float> total(a[3], "total");
    require(total.size() == given.scores.size(), "the arrays differ in length");
    double scale = 0.0;
    {
        const ReleasedIf gil(given.many);
        scale = best_kernels().add_opinion(given.scores.data(), given.allowed.data(),
                                           given.scores.size(), weight, total.data());
    }
    return PyFloat_FromDouble(scale);
}

PyObject* find_best_allowed(Arguments a) {
    const AllowedScores given(a);
    const Output<std::int32_t> items(a[2], "items");
    const Output<float> best(a[3], "best");
    require(best.size() == items.size() && items.size() > 0 && items.size() < 1 << 30,
            "the arrays' shapes do not fit together");
    const ReleasedIf gil(given.many);
    best_kernels().best_allowed(given.scores.data(), given.allowed.data(), given.scores.size(),
                                int(items.size()), items.data(), best.data());
    return nullptr;
}

// The GIL is kept by the next ones, as for `solve_row`.
PyObject* spread_list(Arguments a) {
    const Array<float> relevance(a[0], "relevance");
    const Array<std::int64_t> starts(a[1], "starts"), ends(a[2], "ends");
    const Array<std::int32_t> indices(a[3], "indices");
    const Array<float> values(a[4], "values");
    const std::int64_t columns = whole(a[5]);
    const double diversity = precise(a[6]);
    const Output<std::int32_t> chosen(a[7], "chosen");
    const std::int64_t candidates = relevance.size();
    require(starts.size() == candidates && ends.size() == candidates &&
                chosen.size() <= candidates && values.size() == indices.size() && columns >= 0 &&
                columns < 1 << 30,
            "the arrays' shapes do not fit together");
    for (std::int64_t at = 0; at < candidates; ++at) {  // other vectors are not looked at
        const std::int64_t start = starts.data()[at], end = ends.data()[at];
        require(0 <= start && start <= end && end <= indices.size(), "an index is out of range");
        require_in_range(indices.data() + start, end - start, columns);
    }
    spread({relevance.data(), starts.data(), ends.data(), candidates, indices.data(),
            values.data(), columns, diversity},
           chosen.data(), chosen.size());
    return nullptr;
}

PyObject* find_main_reasons(Arguments a) {
    const Array<float> given(a[0], "given");
    const Output<std::int32_t> order(a[1], "order");
    const Output<float> shares(a[2], "shares");
    const std::int64_t named = order.columns();
    require(order.size() == shares.size() && order.rows() == given.columns() &&
                named <= given.rows() && given.size() == given.rows() * given.columns(),
            "the arrays' shapes do not fit together");
    main_reasons(given.data(), given.rows(), given.columns(), named, order.data(), shares.data());
    return nullptr;
}

struct TouchedLists {  // what the next two take first
    const Array<std::int32_t> touched;
    const Array<float> weights;
    const Array<std::int32_t> neighbours;
    const Array<float> similarities;
    const NeighbourLists lists;

    explicit TouchedLists(Arguments a)
        : touched(a[0], "touched"), weights(a[1], "weights"), neighbours(a[2], "neighbours"),
          similarities(a[3], "similarities"),
          lists{neighbours.data(), similarities.data(), neighbours.rows(), neighbours.columns()} {
        require(weights.size() == touched.size() && similarities.size() == neighbours.size(),
                "the arrays' shapes do not fit together");
        require_in_range(touched.data(), touched.size(), lists.n_items);
        for (std::int64_t touch = 0; touch < touched.size(); ++touch) {
            const std::int32_t* row = lists.neighbours + touched.data()[touch] * lists.per_item;
            bool inside = true;
            for (std::int64_t at = 0; at < lists.per_item; ++at)
                inside &= row[at] < lists.n_items;
            require(inside, "an index is out of range");
        }
    }
};

PyObject* add_neighbour_lists(Arguments a) {
    const TouchedLists own(a);
    const Output<float> scores(a[4], "scores");
    require(scores.size() == own.lists.n_items, "the arrays' shapes do not fit together");
    add_neighbours(own.lists, own.touched.data(), own.weights.data(), own.touched.size(),
                   scores.data());
    return nullptr;
}

PyObject* find_neighbour_parts(Arguments a) {
    const TouchedLists own(a);
    const Array<std::int32_t> items(a[4], "items");
    const Output<float> parts(a[5], "parts");
    require(parts.size() == own.touched.size() * items.size() && items.size() < 1 << 30,
            "the arrays' shapes do not fit together");
    require_in_range(items.data(), items.size(), own.lists.n_items);
    neighbour_parts(own.lists, own.touched.data(), own.weights.data(), own.touched.size(),
                    items.data(), items.size(), parts.data());
    return nullptr;
}

// Counts the arguments and turns C++ exceptions into Python's.
template <PyObject* (*function)(Arguments), int count>
PyObject* guarded(PyObject*, PyObject* const* arguments, Py_ssize_t given) {
    if (given != count) {
        PyErr_Format(PyExc_TypeError, "expected %d arguments, got %zd", count, given);
        return nullptr;
    }
    try {
        PyObject* result = function(arguments);
        return result ? result : none();
    } catch (const PythonError&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    }
    return nullptr;
}

template <PyObject* (*function)(Arguments), int count>
constexpr PyMethodDef method(const char* name) {
    return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(
                      guarded<function, count>)),
            METH_FASTCALL, nullptr};
}

PyMethodDef methods[] = {
    method<instruction_set, 0>("instruction_set"),
    method<transpose_matrix, 7>("transpose"),
    method<solve_rows, 15>("solve_rows"),
    method<solve_row, 9>("solve_row"),
    method<gram, 3>("gram"),
    method<diagonalise, 4>("diagonalise"),
    method<rotate, 3>("rotate"),
    method<score, 4>("score"),
    method<trace, 8>("trace"),
    method<rank, 9>("rank"),
    method<select_best, 6>("select_rows"),
    method<find_neighbours, 9>("neighbours"),
    method<rank_by_neighbours, 9>("rank_neighbours"),
    method<blend_rankings, 10>("blend"),
    method<find_most_allowed, 2>("most_allowed"),
    method<add_one_opinion, 4>("add_opinion"),
    method<find_best_allowed, 4>("best_allowed"),
    method<spread_list, 8>("spread"),
    method<find_main_reasons, 3>("main_reasons"),
    method<add_neighbour_lists, 5>("add_neighbours"),
    method<find_neighbour_parts, 6>("neighbour_parts"),
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", nullptr, 0, methods,
                          nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__kernels() { return PyModuleDef_Init(&definition); }
