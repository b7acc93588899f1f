// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one place that knows which Catch2 is installed (2.13 or 3).
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

/// Requires success and yields the value, or fails with the error's line. May be nested.
template <typename R>
auto casevault_require_ok(R result) {
  if (!result) FAIL(result.error().message);
  return std::move(result).value();
}
#define REQUIRE_OK(...) (casevault_require_ok((__VA_ARGS__)))
#define REQUIRE_DONE(...)                                      \
  do {                                                         \
    auto casevault_done = (__VA_ARGS__);                       \
    if (!casevault_done) FAIL(casevault_done.error().message); \
  } while (false)
/// Requires failure with this code.
#define REQUIRE_ERROR(expected, ...)                                                         \
  do {                                                                                       \
    auto casevault_failure = (__VA_ARGS__);                                                  \
    REQUIRE_FALSE(casevault_failure.has_value());                                            \
    INFO(casevault_failure.error().message);                                                 \
    REQUIRE(static_cast<int>(casevault_failure.error().code) == static_cast<int>(expected)); \
  } while (false)
