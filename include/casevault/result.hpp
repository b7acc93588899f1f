// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>

/// Symbols of the public surface; everything else is hidden.
#if defined(_WIN32)
#define CASEVAULT_API
#else
#define CASEVAULT_API __attribute__((visibility("default")))
#endif

namespace casevault {

/// Closed list of causes. The number is stable (C ABI, persisted nowhere); `number / 100` is the
/// exit code of the command. DO NOT RENUMBER.
enum class ErrorCode : std::uint16_t {
  kInternal = 100,           ///< a defect of casevault or of the calling program's contract
  kCancelled = 101,          ///< the caller's progress callback asked to stop; nothing was written
  kUsage = 200,              ///< the call itself is wrong: a required argument is missing or contradictory
  kWrongKey = 300,           ///< wrong passphrase, key file or identity
  kRefused = 400,            ///< the policy does not admit it (logged)
  kNoGrant = 401,            ///< the principal holds no key for a compartment it needs (logged)
  kUntrusted = 402,          ///< the vault is not pinned in the identity, or not by this genesis
  kNotFound = 500,           ///< no such record, entry, principal, type, file
  kErased = 501,             ///< the record was erased
  kBusy = 600,               ///< another process or job holds what is needed; try again
  kConflict = 601,           ///< the record changed since the version that was named; try again
  kWaiting = 700,            ///< approvals or shares are missing
  kIntegrity = 800,          ///< tampered, corrupt, truncated
  kRolledBack = 801,         ///< older than an anchor, the log or the erasure root says it must be
  kUnsupported = 802,        ///< a format, suite or epoch this version does not know
  kIo = 900,                 ///< input/output failed; nothing changed
  kDiskFull = 901,           ///< no space left; nothing changed
  kUnknownOutcome = 902,     ///< the flush failed: whether it is durable is settled at the next open
  kErasePending = 903,       ///< the record is unreachable but the old root is not yet overwritten
  kUnsafePermissions = 904,  ///< a file of the vault has looser modes, a foreign owner, or is a link
  kDegraded = 1000,          ///< works, with less protection than asked for
  kBadInput = 1100,          ///< data from outside is malformed: row, column, field or line named
};

/// Exit code of the command and family of the code.
[[nodiscard]] constexpr int exit_code(ErrorCode code) noexcept {
  return code == ErrorCode::kCancelled ? 130 : static_cast<int>(code) / 100;
}

/// One failure: a code to branch on and one line for people that names the cause and the remedy.
/// The line holds ids and paths, never a value of a record, a key or a passphrase.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::optional<std::uint64_t> entry = std::nullopt;  ///< the log entry it concerns, when one can be named
};

/// Thrown by `Result::value()` only; the library itself throws nothing of its own.
class CASEVAULT_API Exception : public std::exception {
 public:
  explicit Exception(Error error) : error_(std::move(error)) {}
  [[nodiscard]] const char* what() const noexcept override { return error_.message.c_str(); }
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

/// A value or one `Error`; a strict subset of C++23 `std::expected<T, Error>`.
///
/// It exists because the three usual ways lie to the reader: a bool forgets the cause, an int can be
/// mistaken for a length, and an exception can leave between "logged" and "released" unseen.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value, or throws `Exception`.
  T& value() & { return require(), *std::get_if<0>(&state_); }
  const T& value() const& { return require(), *std::get_if<0>(&state_); }
  T&& value() && { return require(), std::move(*std::get_if<0>(&state_)); }

  /// Unchecked access; only after `has_value()`.
  T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }

  [[nodiscard]] const Error& error() const& noexcept { return *std::get_if<1>(&state_); }
  [[nodiscard]] Error&& error() && noexcept { return std::move(*std::get_if<1>(&state_)); }

 private:
  void require() const {
    if (!has_value()) throw Exception(*std::get_if<1>(&state_));
  }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (error_) throw Exception(*error_);
  }
  [[nodiscard]] const Error& error() const& noexcept { return *error_; }
  [[nodiscard]] Error&& error() && noexcept { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};

}  // namespace casevault

#define CASEVAULT_CONCAT_(a, b) a##b
#define CASEVAULT_CONCAT(a, b) CASEVAULT_CONCAT_(a, b)

/// `CASEVAULT_TRY(auto x, f());` binds the value, or returns the error from the enclosing function.
#define CASEVAULT_TRY(declaration, ...) \
  CASEVAULT_TRY_(CASEVAULT_CONCAT(casevault_try_, __COUNTER__), declaration, __VA_ARGS__)
#define CASEVAULT_TRY_(temporary, declaration, ...)                \
  auto temporary = (__VA_ARGS__);                                  \
  if (!temporary.has_value()) return std::move(temporary).error(); \
  declaration = *std::move(temporary)

/// `CASEVAULT_CHECK(f());` for a `Result<void>`.
#define CASEVAULT_CHECK(...) CASEVAULT_CHECK_(CASEVAULT_CONCAT(casevault_check_, __COUNTER__), __VA_ARGS__)
#define CASEVAULT_CHECK_(temporary, ...)                             \
  do {                                                               \
    auto temporary = (__VA_ARGS__);                                  \
    if (!temporary.has_value()) return std::move(temporary).error(); \
  } while (false)
