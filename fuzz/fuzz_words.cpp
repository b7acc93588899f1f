// SPDX-License-Identifier: Apache-2.0
// The one-line texts that people hand to each other: principal strings, invitations, the FORMAT line, record ids,
// shares of a quorum.
#include "keys/identity.hpp"
#include "keys/share.hpp"
#include "vault/core.hpp"
#include "vault/people.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casevault;
  const std::string_view text = as_text(ByteView(data, size));
  const auto principal = keys::parse_principal(text);
  if (principal && !keys::check_name(principal->name)) __builtin_trap();
  (void)vault::parse_invitation(text);
  const auto format = vault::parse_format_line(text);
  if (format && vault::format_line(format->vault_id).size() != text.size()) __builtin_trap();
  const auto id = RecordId::parse(text);
  if (id && RecordId::parse(id->to_string())->bytes() != id->bytes()) __builtin_trap();
  const auto share = keys::parse_share(text);
  if (share && (share->terms.threshold < 2 || share->share.index == 0 || share->share.value.size() != 32))
    __builtin_trap();
  return 0;
}
