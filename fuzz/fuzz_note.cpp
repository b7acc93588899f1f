// SPDX-License-Identifier: Apache-2.0
#include <casevault/audit.hpp>

#include "audit/note.hpp"

namespace audit = casevault::audit;

namespace {

// The log of corpus/note/receipt.txt; whoever has no key of it can make nothing it vouches for.
constexpr std::string_view kLogKey = "casevault.example/fuzz+4acf275f+Acy8PaLEJnzIVTvgx7V5DMdaEhKXUoRiw9LMZ50W64aE";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = casevault::as_text({data, size});
  if (const auto verifier = audit::parse_verifier(text)) {
    if (verifier->type == 1 && audit::verifier_string(verifier->name, verifier->key) != text) __builtin_trap();
  }
  if (const auto note = audit::parse_note(text)) {
    if (note->text.empty() || note->text.back() != '\n' || note->signatures.empty()) __builtin_trap();
    if (!text.starts_with(note->text)) __builtin_trap();
  }
  if (const auto checkpoint = audit::parse_checkpoint(text)) {
    if (!text.starts_with(audit::checkpoint_text(*checkpoint))) __builtin_trap();
  }
  if (const auto proof = audit::parse_proof(text)) {
    if (audit::proof_text(*proof) != text) __builtin_trap();
  }
  if (const auto checkpoint = audit::verify_checkpoint(text, kLogKey)) {
    if (checkpoint->size != 3) __builtin_trap();
  }
  if (const auto facts = audit::verify_receipt(text, kLogKey)) {
    if (facts->size != 3 || facts->entry != 1 || facts->purpose != "legal-aid") __builtin_trap();
  }
  return 0;
}
