// SPDX-License-Identifier: Apache-2.0
#include <casevault/casevault.hpp>

#include <cstdio>

/// Calls into the schema (bundled data) and the verifier (both crypto libraries): a package that lacks either does not
/// link.
int main() {
  const auto schema = casevault::Schema::bundled("vn-victim-support");
  const auto facts = casevault::audit::verify_receipt("not a receipt", "not a key");
  const bool works = schema && !facts && facts.error().code == casevault::ErrorCode::kBadInput;
  std::puts(works ? "casevault works" : "casevault does not work");
  return works ? 0 : 1;
}
