// Large arrays for the length of one call.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace native {

// Uninitialised numbers that start on a cache line, in huge pages where the system has them:
// a vector read at random then costs no walk through the page tables.
template <class T>
class LineAligned {
public:
    explicit LineAligned(std::int64_t count) {
        const std::size_t bytes = std::size_t(count) * sizeof(T);
        const std::size_t page = bytes >= huge ? huge : 64;
        const std::size_t rounded = (bytes + page - 1) / page * page + (bytes == 0) * page;
        data_ = static_cast<T*>(std::aligned_alloc(page, rounded));
        if (!data_) throw std::bad_alloc();
#if defined(__linux__)
        if (page == huge) madvise(data_, rounded, MADV_HUGEPAGE);
#endif
    }
    LineAligned(const LineAligned&) = delete;
    LineAligned& operator=(const LineAligned&) = delete;
    ~LineAligned() { std::free(data_); }

    T* data() const { return data_; }

private:
    static constexpr std::size_t huge = std::size_t(1) << 21;
    T* data_;
};

}  // namespace native
