// SPDX-License-Identifier: Apache-2.0
// Names, telephones, numbers of documents, dates and places as people type them: no bytes break the normaliser, no key
// is empty, and a key is its own key.
#include "model/normalise.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace casevault;
  const std::string_view text = as_text(ByteView(data, size));
  const auto require = [](bool holds) {
    if (!holds) __builtin_trap();
  };

  if (const auto keys = model::name_keys(text)) {
    require(!keys->exact.empty() && !keys->folded.empty() && !keys->bag.empty() && !keys->joined.empty());
    const auto again = model::name_keys(keys->folded);
    require(again && again->folded == keys->folded && again->bag == keys->bag && again->joined == keys->joined);
    require(model::edit_distance(keys->exact, keys->exact) == 0);
    const auto plain = model::name_keys(text, false);
    require(plain && plain->exact == keys->exact && plain->folded == keys->folded && plain->marked == keys->marked);
    for (const model::NameKeys& alias : model::name_aliases(text)) require(alias.exact != keys->exact);
  }
  for (const std::string_view part : model::name_parts(text)) require(!part.empty());
  const auto suggestion = model::typing_suggestion(text);
  require(!suggestion || *suggestion != text);

  if (const auto phones = model::phone_keys(text)) {
    require(!phones->empty() && phones->size() <= model::kMaxPhones);
    for (const std::string& phone : *phones) {
      const auto again = model::phone_keys(phone);
      require(again && again->size() == 1 && again->front() == phone);
    }
  }
  if (const auto key = model::id_key(text)) {
    const auto again = model::id_key(key->number);
    require(again && again->type == key->type && again->number == key->number);
  }
  (void)model::check_id(text, text, text);
  if (const auto date = model::canonical_date(text)) {
    require(model::date_keys(*date) && model::date_range_keys(*date, *date));
  }
  for (const std::string_view edition : {"", "2024", "2025"}) {
    const auto places = model::place_keys(text, edition);
    require(!places || (!places->empty() && places->size() <= model::kMaxPlaceKeys));
    (void)model::place_query_keys(text, edition, true);
  }
  return 0;
}
