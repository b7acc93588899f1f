// SPDX-License-Identifier: Apache-2.0
#include "model/index_words.hpp"

#include <algorithm>

#include "crypto/types.hpp"
#include "model/normalise.hpp"

namespace casevault::model {
namespace {

void add(std::vector<IndexWord>& out, IndexWord word) {
  if (std::ranges::find(out, word) == out.end()) out.push_back(std::move(word));
}

Result<std::vector<std::string>> whole_words(IndexKind kind, std::string_view text) {
  switch (kind) {
    case IndexKind::kPhone:
      return phone_keys(text);
    case IndexKind::kDate:
      return date_keys(text);
    case IndexKind::kPlace:
      return place_keys(text);
    case IndexKind::kId: {
      CASEVAULT_TRY(IdKey key, id_key(text));
      return std::vector<std::string>{key.type + ":" + key.number};
    }
    default:
      return std::vector<std::string>{std::string(text)};
  }
}

void add_name(NameKeys keys, std::vector<IndexWord>& out) {
  add(out, {WordClass::kFolded, std::move(keys.folded), std::move(keys.exact)});
  add(out, {WordClass::kOrderFree, std::move(keys.bag)});
  add(out, {WordClass::kJoined, std::move(keys.joined)});
}

/// A single date is asked for as it was typed: a year finds all of it, a day
/// only that day. A range also finds what is known too badly to be left out.
Result<TypedWords> words_of_dates(std::string_view typed, bool loose) {
  TypedWords out;
  const std::size_t dots = typed.find("..");
  if (dots == 0 || (dots != std::string_view::npos && dots + 2 == typed.size()))
    return Error{ErrorCode::kBadInput, "a range of dates is FROM..TO and needs both ends"};
  CASEVAULT_TRY(std::string first, canonical_date(typed.substr(0, dots)));
  if (dots == std::string_view::npos && !loose) {
    out.words.emplace_back(WordClass::kWhole, std::move(first));
    return out;
  }
  CASEVAULT_TRY(std::string last, canonical_date(dots == std::string_view::npos ? typed : typed.substr(dots + 2)));
  CASEVAULT_TRY(std::vector<std::string> keys, date_range_keys(first, last));
  for (std::string& key : keys) add(out.words, {WordClass::kWhole, std::move(key)});
  return out;
}

}  // namespace

IndexWord::~IndexWord() {
  crypto::wipe(text);
  crypto::wipe(exact);
}

void words_of_value(IndexKind kind, std::string_view value, std::vector<IndexWord>& out) {
  out.clear();
  if (kind == IndexKind::kName) {
    for (const std::string_view part : name_parts(value)) {
      auto keys = name_keys(part);
      if (!keys) continue;
      out.emplace_back(WordClass::kFolded, std::move(keys->folded), std::move(keys->exact));
      out.emplace_back(WordClass::kOrderFree, std::move(keys->bag));
      out.emplace_back(WordClass::kJoined, std::move(keys->joined));
    }
    std::ranges::sort(out);  // a value from before there was a bound may hold any number of names
    out.erase(std::unique(out.begin(), out.end()), out.end());
  } else if (auto words = whole_words(kind, value)) {
    for (std::string& word : *words) add(out, {WordClass::kWhole, std::move(word)});
  }
  if (out.empty()) out.emplace_back(WordClass::kRaw, std::string(value));
}

Result<TypedWords> words_of_query(IndexKind kind, std::string_view typed, bool loose) {
  if (kind == IndexKind::kDate) return words_of_dates(typed, loose);
  TypedWords out;
  if (kind == IndexKind::kName) {
    CASEVAULT_TRY(NameKeys keys, name_keys(typed, loose));
    if (!loose) {
      out.exact_only = keys.marked;
      out.words.emplace_back(WordClass::kFolded, std::move(keys.folded), std::move(keys.exact));
      return out;
    }
    add_name(std::move(keys), out.words);
    std::vector<IndexWord> regional;
    for (NameKeys& alias : name_aliases(typed)) add_name(std::move(alias), regional);
    for (IndexWord& word : regional) {
      word.regional = true;
      out.words.push_back(std::move(word));
    }
    return out;
  }
  auto words = kind == IndexKind::kPlace ? place_query_keys(typed, {}, loose) : whole_words(kind, typed);
  if (!words) {
    out.words.emplace_back(WordClass::kRaw, std::string(typed));
    return out;
  }
  for (std::string& word : *words) add(out.words, {WordClass::kWhole, std::move(word)});
  return out;
}

std::optional<std::string> why_as_written(IndexKind kind, std::string_view text) {
  if (kind != IndexKind::kPhone && kind != IndexKind::kId && kind != IndexKind::kPlace) return std::nullopt;
  auto words = whole_words(kind, text);
  if (!words) return words.error().message;
  for (std::string& word : *words) crypto::wipe(word);
  return std::nullopt;
}

std::size_t usual_words(IndexKind kind) noexcept {
  switch (kind) {
    case IndexKind::kNone:
      return 0;
    case IndexKind::kExact:
    case IndexKind::kId:
      return 1;
    case IndexKind::kPhone:
    case IndexKind::kPlace:
      return 2;
    case IndexKind::kName:
    case IndexKind::kDate:
      return 3;
  }
  return 0;
}

}  // namespace casevault::model
