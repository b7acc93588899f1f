// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one place that knows which Catch2 is installed (2.13 or 3).
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

/// Requires success and yields the value, or fails with the error's line.
#define REQUIRE_OK(...)                                      \
  ([&] {                                                     \
    auto casevault_result = (__VA_ARGS__);                   \
    if (!casevault_result) FAIL(casevault_result.error().message); \
    return std::move(casevault_result).value();              \
  }())
#define REQUIRE_DONE(...)                                    \
  do {                                                       \
    auto casevault_result = (__VA_ARGS__);                   \
    if (!casevault_result) FAIL(casevault_result.error().message); \
  } while (false)
/// Requires failure with this code.
#define REQUIRE_ERROR(expected, ...)                                                             \
  do {                                                                                           \
    auto casevault_result = (__VA_ARGS__);                                                       \
    REQUIRE_FALSE(casevault_result.has_value());                                                 \
    INFO(casevault_result.error().message);                                                      \
    REQUIRE(static_cast<int>(casevault_result.error().code) == static_cast<int>(expected));      \
  } while (false)
