// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "age/input.hpp"
#include "crypto/types.hpp"

namespace casevault::age {

/// One wrapping of the file key: `-> argument ...`, then the body.
struct Stanza {
  std::vector<std::string> arguments;  ///< at least one, the type; each one or more printable ASCII characters
  Bytes body;
};

struct Header {
  std::vector<Stanza> stanzas;  ///< at least one
  std::string authenticated;    ///< what the MAC is over: the text through "---"
  crypto::Hash mac{};
};

/// Base64 as headers have it: canonical and without padding.
[[nodiscard]] std::string unpadded_base64(ByteView bytes);
[[nodiscard]] std::optional<Bytes> from_unpadded_base64(std::string_view text);

/// The text through "---".
[[nodiscard]] std::string header_text(const std::vector<Stanza>& stanzas);
/// A header and nothing more, exactly by the grammar of age v1: header_text(stanzas) gives `authenticated` again.
/// kBadInput names the line; kUnsupported for another version of age.
[[nodiscard]] Result<Header> parse_header(std::string_view text);
/// Takes the text of a header from the input: through the end of the line that begins with "---". At most 1 MiB.
[[nodiscard]] Result<std::string> read_header(Input& input);

}  // namespace casevault::age
