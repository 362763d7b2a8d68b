// A team of threads for one call.
//
// Threads start with the call and end with it: a start costs 20 microseconds, while a pool that
// outlives its call would break in forked processes and at interpreter exit.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace native {

// Calls work(first, last) for consecutive ranges of [0, count) from up to `threads` threads, one
// of which is the caller's. `make_work()` is called once on each thread, so that what it returns
// can own that thread's scratch memory. The first exception of any thread is thrown again here.
template <class MakeWork>
void share_out(std::int64_t count, std::int64_t chunk, int threads, const MakeWork& make_work) {
    std::atomic<std::int64_t> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr failure;

    auto take_part = [&] {
        try {
            auto work = make_work();
            for (;;) {
                const std::int64_t first = next.fetch_add(chunk);
                if (first >= count || failed.load()) return;
                work(first, std::min(first + chunk, count));
            }
        } catch (...) {
            if (!failed.exchange(true)) failure = std::current_exception();
        }
    };

    const std::int64_t chunks = (count + chunk - 1) / chunk;
    std::vector<std::thread> team;
    try {
        for (std::int64_t i = 1; i < std::min<std::int64_t>(threads, chunks); ++i)
            team.emplace_back(take_part);
    } catch (const std::system_error&) {
        // The system grants no more threads: those there are do the work.
    }
    take_part();
    for (std::thread& member : team) member.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace native
