// SPDX-License-Identifier: Apache-2.0
#include "keys/share.hpp"

#include "age/bech32.hpp"
#include "base/cursor.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "format/labels.hpp"

#include <algorithm>

namespace casevault {

Result<Shares> Shares::read(std::span<const std::filesystem::path> files) {
  constexpr std::size_t kMaxFile = 1024;
  std::vector<Share> all;
  for (const std::filesystem::path& file : files) {
    CASEVAULT_TRY(SecretBytes line, base::read_secret_file(file, kMaxFile));
    all.push_back({file.string(), std::move(line)});
  }
  return Shares(std::move(all));
}

namespace keys {
namespace {

constexpr std::string_view kPrefix = "cvs";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kSigned = 1 + 8 + 3 + 32;
constexpr std::size_t kSize = kSigned + 64;

/// version ‖ set ‖ threshold ‖ total ‖ index ‖ value, with room for the signature after it.
SecretBytes lay_out(const ShareTerms& terms, const crypto::ShamirShare& share) {
  SecretBytes out(kSize);
  const MutableBytes bytes = out.mutable_view();
  bytes[0] = kVersion;
  std::ranges::copy(terms.set, bytes.begin() + 1);
  bytes[9] = static_cast<std::uint8_t>(terms.threshold);
  bytes[10] = static_cast<std::uint8_t>(terms.total);
  bytes[11] = share.index;
  std::ranges::copy(share.value.view(), bytes.begin() + 12);
  return out;
}

}  // namespace

std::vector<SecretBytes> make_shares(const ShareTerms& terms, crypto::KeyView secret, crypto::KeyView ed_seed,
                                     base::Random& random) {
  std::vector<SecretBytes> lines;
  for (const crypto::ShamirShare& share : crypto::shamir_split(secret, terms.threshold, terms.total, random)) {
    SecretBytes data = lay_out(terms, share);
    const crypto::Signature signature = crypto::sign(format::kShare, ed_seed, data.view().first(kSigned));
    std::ranges::copy(signature, data.mutable_view().begin() + kSigned);
    const SecretBytes text = age::bech32_encode(kPrefix, data.view());
    SecretBytes line(text.size() + 1);
    std::ranges::copy(text.view(), line.mutable_view().begin());
    line.mutable_view().back() = '\n';
    lines.push_back(std::move(line));
  }
  return lines;
}

Result<ParsedShare> parse_share(std::string_view line) {
  constexpr std::string_view kBlanks = " \t\r\n";
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  line = line.substr(0, line.find_last_not_of(kBlanks) + 1);
  const Error damaged{ErrorCode::kBadInput,
                      "a character is wrong or missing, or it is no share; compare it with the original"};
  const std::optional<age::Bech32> text = age::bech32_decode(line);
  if (!text || (text->prefix != kPrefix && text->prefix != "CVS") || text->data.empty()) return damaged;
  base::Reader reader(text->data.view());
  if (reader.u8() != kVersion)
    return Error{ErrorCode::kUnsupported, "it is a share of a version that this program does not know"};
  ParsedShare out;
  out.terms.set = reader.fixed<8>();
  out.terms.threshold = reader.u8();
  out.terms.total = reader.u8();
  out.share.index = reader.u8();
  out.share.value = SecretBytes::copy(reader.take(32));
  out.signature = reader.fixed<64>();
  if (!reader.finish() || out.terms.threshold < 2 || out.terms.threshold > out.terms.total ||
      out.terms.total > kMaxShareFiles || out.share.index == 0 || out.share.index > out.terms.total) {
    return damaged;
  }
  return out;
}

Result<CombinedShares> combine_shares(const Shares& shares, const crypto::PublicKey& dealer) {
  if (shares.all().empty()) return Error{ErrorCode::kWaiting, "no share is given"};
  std::vector<ParsedShare> parsed;
  for (const Shares::Share& one : shares.all()) {
    auto share = parse_share(one.line.text());
    if (!share) return Error{share.error().code, "share " + one.name + ": " + share.error().message};
    if (!crypto::verify(format::kShare, dealer, lay_out(share->terms, share->share).view().first(kSigned),
                        share->signature)) {
      return Error{ErrorCode::kWrongKey, "share " + one.name + " was not made for this identity (or was altered)"};
    }
    parsed.push_back(*std::move(share));
  }
  const ShareTerms terms = parsed.front().terms;
  std::vector<crypto::ShamirShare> points;
  for (std::size_t i = 0; i < parsed.size(); ++i) {
    const std::string& name = shares.all()[i].name;
    if (parsed[i].terms != terms) {
      return Error{ErrorCode::kBadInput, "shares " + shares.all().front().name + " (set " + base::to_hex(terms.set) +
                                             ") and " + name + " (set " + base::to_hex(parsed[i].terms.set) +
                                             ") are of two sets; use shares of one"};
    }
    const auto same = std::ranges::find(points, parsed[i].share.index, &crypto::ShamirShare::index);
    if (same != points.end()) {
      return Error{ErrorCode::kUsage, "share " + std::to_string(same->index) + " is given twice, the second time as " +
                                          name + "; each counts once"};
    }
    points.push_back(std::move(parsed[i].share));
  }
  if (points.size() < terms.threshold) {
    return Error{ErrorCode::kWaiting, std::to_string(points.size()) + " of the " + std::to_string(terms.threshold) +
                                          " shares that are needed (set " + base::to_hex(terms.set) +
                                          ") are given; add more of them"};
  }
  return CombinedShares{terms, crypto::shamir_combine(std::span(points).first(terms.threshold))};
}

}  // namespace keys
}  // namespace casevault
