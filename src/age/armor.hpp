// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "age/input.hpp"

namespace casevault::age {

/// ASCII armor: strict PEM with 64 columns. Reading takes LF or CRLF, and white space before the first and after the
/// last line, at most 1 KiB of each. Failures are kBadInput and name the line.
class ArmorReader {
 public:
  explicit ArmorReader(Input input) : input_(std::move(input)) {}
  /// As a Source does. 0 comes once only the last line and white space have been seen to follow.
  [[nodiscard]] Result<std::size_t> read(MutableBytes out);

 private:
  [[nodiscard]] Result<void> begin();
  [[nodiscard]] Result<void> decode_line();
  [[nodiscard]] Result<void> check_rest();
  [[nodiscard]] Result<std::string> next_line();  ///< without its end
  [[nodiscard]] Error bad(const std::string& what) const;

  Input input_;
  Bytes decoded_;
  std::size_t start_ = 0;  ///< what of `decoded_` is handed out
  std::size_t line_ = 0;
  bool begun_ = false;
  bool short_line_ = false;  ///< one shorter than the others is the last
  bool ended_ = false;
};

class ArmorWriter {
 public:
  explicit ArmorWriter(Sink sink) : sink_(std::move(sink)) {}
  [[nodiscard]] Result<void> write(ByteView bytes);
  [[nodiscard]] Result<void> finish();

 private:
  Sink sink_;
  Bytes pending_;  ///< less than a line
  bool begun_ = false;
};

}  // namespace casevault::age
