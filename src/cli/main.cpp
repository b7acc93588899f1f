// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <string_view>

namespace casevault::cli {
namespace {

constexpr std::string_view kExits =
    "Exit codes: 0 ok, 1 other, 2 usage, 3 wrong passphrase or key, 4 refused by policy or no grant, 5 not found,\n"
    "6 busy or conflict (try again), 7 waiting for shares, 8 integrity (tampered, corrupt, rolled back),\n"
    "9 input/output, 10 works but degraded, 11 bad input data, 130 interrupted.";

/// Every command the program has, with its options.
class Table {
 public:
  Table()
      : app_("An encrypted vault for victims' records: no value is read without a key, none without a trace.",
             "casevault") {
    app_.require_subcommand(1);
    app_.fallthrough();
    app_.get_formatter()->column_width(34);
    app_.footer(std::string(kExits) + "\n\n\"casevault help COMMAND\" says more.");
    global_options();
    vault_commands();
    record_commands();
    audit_commands();
    people_commands();
    report_commands();
  }

  int run(int argc, char** argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      return finish(show(app_.help()));
    } catch (const CLI::ParseError& error) {
      // --json may stand behind what could not be parsed.
      const std::vector<std::string_view> words(argv + 1, argv + argc);
      const auto end = std::find(words.begin(), words.end(), "--");
      context_.options.json = std::find(words.begin(), end, "--json") != end;
      return context_.report({ErrorCode::kUsage, explain(error)});
    }
    if (auto writable = check_stdout(); !writable) return context_.report(writable.error());
    return finish(chosen_(context_));
  }

 private:
  using Work = std::function<Result<int>(Context&)>;

  int finish(const Result<int>& result) { return result.has_value() ? *result : context_.report(result.error()); }

  Result<int> show(const std::string& help) {
    CASEVAULT_CHECK(context_.options.json ? context_.print(Json{{"help", help}}, {}) : context_.print(help));
    return 0;
  }

  /// What was wrong, without repeating an argument that may be a value of a record.
  std::string explain(const CLI::ParseError& error) {
    const CLI::App* at = &app_;
    std::string command = "casevault";
    while (!at->get_subcommands().empty()) {
      at = at->get_subcommands().front();
      command += " " + at->get_name();
    }
    const std::string see = "; see: " + command + " --help";
    std::vector<std::string> extra = app_.remaining(true);
    const bool group = !at->get_subcommands({}).empty();
    if (extra.empty())
      return std::string(group && error.get_name() == "RequiredError" ? "no command is named" : error.what()) + see;
    const auto option =
        std::find_if(extra.begin(), extra.end(), [](const std::string& word) { return word.starts_with("-"); });
    if (group && option != extra.begin())
      return "unknown command: " + command + " " + extra.front().substr(0, 32) + see;
    if (option != extra.end())
      return "unknown option " + option->substr(0, std::min<std::size_t>(option->find('='), 32)) + see;
    return std::to_string(extra.size()) + " arguments too many (quote a value that has spaces)" + see;
  }

  CLI::App& command(CLI::App& parent, const char* name, const char* description, Work work) {
    CLI::App* made = parent.add_subcommand(name, description);
    made->footer("Global options (--vault, --as, --json, ...): casevault --help");
    made->callback([this, work = std::move(work)] { chosen_ = work; });
    return *made;
  }
  CLI::App& group(const char* name, const char* description) { return group(app_, name, description); }
  static CLI::App& group(CLI::App& parent, const char* name, const char* description) {
    CLI::App* made = parent.add_subcommand(name, description);
    made->require_subcommand(1);
    return *made;
  }
  static CLI::Option* text(CLI::App& to, const char* name, std::string& value, const char* type,
                           const char* description) {
    return to.add_option(name, value, description)->type_name(type);
  }
  static CLI::Option* texts(CLI::App& to, const char* name, std::vector<std::string>& values, const char* type,
                            const char* description) {
    return to.add_option(name, values, description)->type_name(type);
  }

  void global_options() {
    GlobalOptions& o = context_.options;
    text(app_, "--vault", o.vault, "DIR", "The vault's folder")->envname("CASEVAULT_VAULT");
    text(app_, "--as", o.as, "NAME", "An identity in the vault's identities/; default: the only one there");
    text(app_, "--identity", o.identity, "FILE", "An identity file kept elsewhere");
    text(app_, "--passphrase-file", o.passphrase_file, "FILE", "Passphrase: first line of FILE");
    text(app_, "--passphrase-fd", o.passphrase_fd, "N", "Passphrase: first line of an open descriptor");
    text(app_, "--keyfile", o.keyfile, "FILE", "Opens the identity with a key file");
    text(app_, "--age-identity", o.age_identity, "FILE", "Opens the identity with an identity file of age");
    texts(app_, "--share", o.shares, "FILE", "Opens the identity with shares of its quorum; one FILE each")
        ->allow_extra_args(false);
    text(app_, "--token-module", o.token_module, "SO",
         "Opens the identity with a PKCS#11 token: its module, which is loaded");
    text(app_, "--token", o.token, "LABEL", "Which token, when several are there");
    text(app_, "--pin-file", o.pin_file, "FILE", "PIN of the token: first line of FILE; it is tried once");
    texts(app_, "--anchor", o.anchors, "FILE", "A checkpoint kept elsewhere that the log must contain")
        ->allow_extra_args(false);
    text(app_, "--trust", o.trust, "ID", "Opens a vault that the identity has not pinned, if this is its id");
    app_.add_flag("--json", o.json, "One JSON document on standard output");
    app_.add_flag("--no-input", o.no_input, "Never asks");
    app_.add_flag("--yes", o.yes, "Takes confirmations as given; a passphrase never does that");
    text(app_, "--progress", o.progress, "", "Progress on standard error; auto: only at a terminal")
        ->check(CLI::IsMember({"auto", "json", "off"}));
  }

  void vault_commands() {
    CLI::App& init_ = command(app_, "init", "Makes a new vault and its owner's identity",
                              [this](Context& c) { return init(c, init_args_); });
    text(init_, "DIR", init_args_.folder, "", "The new folder; must not exist")->required();
    text(init_, "--schema", init_args_.schema, "NAME|FILE",
         "A bundled schema or a .toml file; default vn-victim-support");
    text(init_, "--name", init_args_.name, "OWNER", "The owner's name; default owner");
    text(init_, "--identity-out", init_args_.identity_out, "FILE",
         "Where the owner's identity goes; default DIR/identities/");
    text(init_, "--quorum", init_args_.quorum, "K/N", "The owner is opened by any K of N shares, and by nothing else");
    text(init_, "--shares-dir", init_args_.shares, "DIR", "A new folder for the N shares of --quorum");
    text(init_, "--suite", init_args_.suite, "N",
         "How fields are sealed, for good: 1 AES-256-GCM (default), 2 ChaCha20-Poly1305 for processors without AES "
         "instructions, 3 HKDF with AES-256-GCM, algorithms that NIST approves")
        ->check(CLI::IsMember({"1", "2", "3"}));
    CLI::App& doctor_ = command(app_, "doctor", "Examines everything without trusting who wrote it; changes nothing",
                                [this](Context& c) { return doctor(c, doctor_args_); });
    doctor_.add_flag("--deep", doctor_args_.deep, "Also opens every cell that this identity may open");
    command(app_, "status", "What the vault holds, its log, epochs and warnings; appends nothing", status);

    CLI::App& schema = group("schema", "The schema in force, or a dry check of a new one");
    command(schema, "show", "Prints the schema in force", schema_show);
    CLI::App& check = command(schema, "check", "Checks a schema file; needs no vault",
                              [this](Context& c) { return schema_check(c, check_args_); });
    text(check, "FILE", check_args_.file, "", "The schema, in TOML")->required();

    CLI::App& vault = group("vault", "Joining a vault");
    CLI::App& accept = command(vault, "accept", "Pins the vault of an invitation in an identity (--identity or --as)",
                               [this](Context& c) { return vault_accept(c, accept_args_); });
    text(accept, "INVITATION", accept_args_.invitation, "", "The file that `principal add` wrote")->required();

    CLI::App& key = group("key", "Keys of compartments");
    command(key, "list", "Epochs, their state, and how many cells are under each", key_list);
    CLI::App& rotate = command(key, "rotate", "A new epoch for new writes, at once, for those who hold the present one",
                               [this](Context& c) { return key_rotate(c, key_rotate_args_); });
    CLI::Option* const one = text(rotate, "COMPARTMENT", key_rotate_args_.compartment, "", "Which compartment");
    CLI::Option* const every =
        rotate.add_flag("--all", key_rotate_args_.all, "Every compartment that this identity holds")->excludes(one);
    rotate
        .add_flag("--vault-key", key_rotate_args_.vault_key,
                  "Instead: a new vault key, log key and erasure root; receipts to come need the new log key")
        ->excludes(one)
        ->excludes(every);
    CLI::App& reencrypt =
        command(key, "reencrypt", "Moves cells under old epochs to the current ones; safe to kill and repeat",
                [this](Context& c) { return key_reencrypt(c, key_reencrypt_args_); });
    text(reencrypt, "COMPARTMENT", key_reencrypt_args_.compartment, "", "Default: all that this identity holds");
    text(reencrypt, "--rate", key_reencrypt_args_.rate, "CELLS", "Cells a second at most");
    reencrypt.add_flag("--index", key_reencrypt_args_.index, "Builds the search indexes anew, and nothing else");
    command(key, "status", "How much lies under current epochs, and how much under old ones", key_status);
    command(key, "census", "Counts what is under which epoch; a zero is signed in the log", key_census);
    CLI::App& retire = command(key, "retire", "Says, signed in the log, that an old epoch is empty and stays so",
                               [this](Context& c) { return key_retire(c, key_retire_args_); });
    text(retire, "COMPARTMENT", key_retire_args_.compartment, "", "Which compartment")->required();
    text(retire, "EPOCH", key_retire_args_.epoch, "", "Which of its epochs")->required();
    CLI::App& destroy = command(key, "destroy", "Ends an old epoch: its grants, kept in the log, open nothing any more",
                                [this](Context& c) { return key_destroy(c, key_destroy_args_); });
    text(destroy, "COMPARTMENT", key_destroy_args_.compartment, "", "Which compartment")->required();
    text(destroy, "EPOCH", key_destroy_args_.epoch, "", "Which of its epochs")->required();
    text(destroy, "--confirm", key_destroy_args_.confirm, "COMPARTMENT:EPOCH", "Instead of typing it when asked");

    command(app_, "version", "Version of the program and of the format it writes", [](Context& c) -> Result<int> {
      CASEVAULT_CHECK(
          c.print(Json{{"version", CASEVAULT_VERSION}, {"format", 1}}, "casevault " CASEVAULT_VERSION ", format 1"));
      return 0;
    });
    CLI::App& help = command(app_, "help", "Help on a command", [this](Context&) { return show_topic(); });
    texts(help, "TOPIC", topic_, "", "A command, e.g. audit verify");
  }

  void record_commands() {
    CLI::App& add_ = command(app_, "add", "Adds a record", [this](Context& c) { return add(c, add_args_); });
    text(add_, "TYPE", add_args_.type, "", "A record type of the schema")->required();
    text(add_, "--searched", add_args_.searched, "ENTRY", "Of the search that went before, where the schema wants one");
    texts(add_, "FIELDS", add_args_.values, "FIELD=VALUE", "Values; an empty one is no value");
    text(add_, "--from", add_args_.from, "FILE.json",
         "Values from a flat JSON object: they stay out of the process list");

    CLI::App& update_ = command(app_, "update", "Changes fields of a record; the others stay",
                                [this](Context& c) { return update(c, update_args_); });
    text(update_, "ID", update_args_.id, "", "The record")->required();
    texts(update_, "FIELDS", update_args_.values, "FIELD=VALUE", "New values; an empty one empties the field")
        ->required();
    text(update_, "--expect-version", update_args_.expect_version, "N",
         "Fails with 6 unless this is the present version");

    CLI::App& list_ = command(app_, "list", "Ids and metadata of records, no values",
                              [this](Context& c) { return list(c, list_args_); });
    text(list_, "TYPE", list_args_.type, "", "A record type of the schema")->required();
    text(list_, "--limit", list_args_.limit, "N", "At most so many; default all");
    text(list_, "--after", list_args_.after, "ID", "Begins after this record");

    CLI::App& history_ = command(app_, "history", "Versions of a record with their log entries",
                                 [this](Context& c) { return history(c, history_args_); });
    text(history_, "ID", history_args_.id, "", "The record")->required();

    CLI::App& import = command(app_, "import", "Adds the rows of a file: all, or none when one is bad",
                               [this](Context& c) { return import_file(c, import_args_); });
    text(import, "TYPE", import_args_.type, "", "A record type of the schema")->required();
    text(import, "FILE", import_args_.file, "",
         "A .csv (RFC 4180, UTF-8, header row) or .jsonl file (a flat object a line)")
        ->required();
    text(import, "--map", import_args_.map, "MAP.toml", "[columns] \"column\" = \"field\"; \"\" drops the column");
    import.add_flag("--dry-run", import_args_.dry_run, "Checks everything, writes nothing");
    text(import, "--rejects", import_args_.rejects, "FILE",
         "Writes good rows and puts the bad ones, if any, into FILE");
    text(import, "--ids-out", import_args_.ids_out, "FILE", "The new ids, one a line, in the order of the rows");

    CLI::App& find_ = command(app_, "find", "Searches, in the index of the vault; logged, with a match or without",
                              [this](Context& c) { return find(c, find_args_); });
    text(find_, "TYPE", find_args_.type, "", "A record type of the schema")->required();
    texts(find_, "FIELD=VALUE", find_args_.values, "", "What all must fit; dates also as FROM..TO");
    text(find_, "--from", find_args_.from, "FILE.json",
         "What to search for from a flat JSON object, - for standard input: it "
         "stays out of the process list");
    text(find_, "--purpose", find_args_.purpose, "P", "A purpose of the schema")->required();
    text(find_, "--basis", find_args_.basis, "B", "The legal basis; default: the purpose's");
    find_.add_flag("--loose", find_args_.loose,
                   "Names without their marks, in any order, with other "
                   "spaces; dates known in part");
    text(find_, "--limit", find_args_.limit, "N", "Lists the N closest; default 100");

    CLI::App& duplicates_ = command(app_, "duplicates", "Pairs of records that may be one person, and why; logged",
                                    [this](Context& c) { return duplicates(c, duplicates_args_); });
    text(duplicates_, "TYPE", duplicates_args_.type, "", "A record type of the schema")->required();
    text(duplicates_, "--min-score", duplicates_args_.min_score, "S",
         "From 0 to 1: the probability that a pair is one person; default 0.5");
    text(duplicates_, "--purpose", duplicates_args_.purpose, "P", "A purpose of the schema")->required();
    text(duplicates_, "--basis", duplicates_args_.basis, "B", "The legal basis; default: the purpose's");

    CLI::App& merge_ = command(app_, "merge", "Says that two records are about one person; both stay",
                               [this](Context& c) { return merge(c, merge_args_); });
    text(merge_, "A", merge_args_.a, "", "A record")->required();
    text(merge_, "B", merge_args_.b, "", "Another of the same type")->required();
    text(merge_, "--reason", merge_args_.reason, "T", "Why, in words; sealed in the log")->required();
    merge_.add_flag("--undo", merge_args_.undo, "Takes a merge of the two back");

    CLI::App& disclose_ =
        command(app_, "disclose", "Hands out values: decided by the policy, logged before anything is shown",
                [this](Context& c) { return disclose(c, disclose_args_); });
    texts(disclose_, "ID", disclose_args_.ids, "", "Records, in the order wanted")->required();
    text(disclose_, "--fields", disclose_args_.fields, "F,G", "Fields")->required();
    text(disclose_, "--purpose", disclose_args_.purpose, "P", "A purpose of the schema")->required();
    text(disclose_, "--basis", disclose_args_.basis, "B", "The legal basis")->required();
    text(disclose_, "--to", disclose_args_.to, "RECIPIENT", "Who receives it, in words")->required();
    text(disclose_, "--to-class", disclose_args_.to_class, "CLASS", "The recipient's class, which rules match");
    text(disclose_, "--receipt", disclose_args_.receipt, "FILE", "Also writes the receipt of the entry");
    text(disclose_, "--out", disclose_args_.out, "FILE", "The values go to FILE instead of standard output");
  }

  void audit_commands() {
    CLI::App& audit = group("audit", "The log");
    command(audit, "verify",
            "Recomputes the log's tree and signatures, and compares with --anchor; 8 when something is wrong",
            audit_verify);
    CLI::App& log = command(audit, "log", "Entries; JSON lines with --json",
                            [this](Context& c) { return audit_log(c, log_args_); });
    text(log, "--from", log_args_.from, "N", "First entry");
    text(log, "--actor", log_args_.actor, "NAME", "Only entries of this principal");
    text(log, "--subject", log_args_.subject, "ID", "Only entries about this record (leaves an entry itself)");
    log.add_flag("--details", log_args_.details, "Opens the sealed details; leaves an entry of its own");
    CLI::App& prove = command(audit, "prove", "Writes the receipt of an entry",
                              [this](Context& c) { return audit_prove(c, prove_args_); });
    text(prove, "ENTRY", prove_args_.entry, "", "Number of the entry, from 0")->required();
    text(prove, "--out", prove_args_.out, "FILE", "The receipt")->required();
    CLI::App& checkpoint =
        command(audit, "checkpoint", "A signed statement of the log's size and root: an anchor to keep elsewhere",
                [this](Context& c) { return audit_checkpoint(c, checkpoint_args_); });
    text(checkpoint, "--out", checkpoint_args_.out, "FILE", "Default: standard output");

    CLI::App& receipt = group("receipt", "Receipts, without a vault");
    CLI::App& verify = command(receipt, "verify", "Checks a receipt; 8 when it does not hold",
                               [this](Context& c) { return receipt_verify(c, receipt_args_); });
    text(verify, "FILE", receipt_args_.file, "", "The receipt")->required();
    text(verify, "--log-key", receipt_args_.log_key, "FILE", "The log's public key, as `init` printed it")->required();
  }

  void people_commands() {
    CLI::App& identity = group("identity", "Identity files");
    CLI::App& fresh = command(identity, "new", "Makes an identity and prints its public string",
                              [this](Context& c) { return identity_new(c, new_args_); });
    text(fresh, "NAME", new_args_.name, "", "Whose it is")->required();
    text(fresh, "--out", new_args_.out, "FILE", "The identity file; keep it private")->required();
    fresh.add_flag("--generate", new_args_.generate, "Makes the passphrase and shows it once, on standard error");
    CLI::App& shown = command(identity, "show", "What an identity file shows without its passphrase",
                              [this](Context& c) { return identity_show(c, show_args_); });
    text(shown, "FILE", show_args_.file, "", "The identity file")->required();

    CLI::App& slot = group(identity, "slot", "The ways to open an identity");
    CLI::App& slot_new = command(slot, "add", "Adds a way to open an identity, which is opened first",
                                 [this](Context& c) { return slot_add(c, slot_add_args_); });
    text(slot_new, "FILE", slot_add_args_.file, "", "The identity file")->required();
    text(slot_new, "--type", slot_add_args_.type, "", "passphrase (default) keyfile age pkcs11")
        ->check(CLI::IsMember({"passphrase", "keyfile", "age", "pkcs11"}));
    text(slot_new, "--recipient", slot_add_args_.recipient, "AGE1...", "age: who will open it");
    text(slot_new, "--keyfile", slot_add_args_.keyfile, "FILE",
         "keyfile: 32 bytes or more that nobody can guess. With another type, and before the command: opens the "
         "identity");
    text(slot_new, "--module", slot_add_args_.module, "SO", "pkcs11: the token's module, which is loaded");
    text(slot_new, "--token", slot_add_args_.token, "LABEL", "pkcs11: the token");
    text(slot_new, "--key", slot_add_args_.key, "LABEL",
         "pkcs11: its key, which cannot be taken out: AES that wraps or encrypts, or EC P-256 that derives");
    text(slot_new, "--pin-file", slot_add_args_.pin_file, "FILE", "pkcs11: PIN, the first line of FILE");
    text(slot_new, "--new-passphrase-file", slot_add_args_.new_passphrase_file, "FILE",
         "passphrase: the new one is the first line of FILE; else it is asked for");
    slot_new.add_flag("--generate", slot_add_args_.generate,
                      "passphrase: makes one and shows it once, on standard error; keyfile: makes FILE");
    CLI::App& slot_gone = command(slot, "remove", "Removes a way to open an identity; the last one stays",
                                  [this](Context& c) { return slot_remove(c, slot_remove_args_); });
    text(slot_gone, "FILE", slot_remove_args_.file, "", "The identity file")->required();
    text(slot_gone, "ID", slot_remove_args_.id, "", "The slot, as `identity slot list` shows it")->required();
    CLI::App& slots = command(slot, "list", "The ways to open an identity; needs no key",
                              [this](Context& c) { return slot_list(c, slot_list_args_); });
    text(slots, "FILE", slot_list_args_.file, "", "The identity file")->required();
    CLI::App& split =
        command(identity, "split", "Makes shares that open an identity together, in place of those made before",
                [this](Context& c) { return identity_split(c, split_args_); });
    text(split, "FILE", split_args_.file, "", "The identity file")->required();
    text(split, "--quorum", split_args_.quorum, "K/N", "Any K of N shares open it; N at most 32")->required();
    text(split, "--out-dir", split_args_.folder, "DIR", "A new folder for the N files of one line each")->required();

    CLI::App& principal = group("principal", "Who may open the vault");
    CLI::App& added = command(principal, "add", "Certifies a principal and makes the invitation to hand over",
                              [this](Context& c) { return principal_add(c, principal_args_); });
    text(added, "NAME", principal_args_.name, "", "The principal, as in the public string")->required();
    text(added, "--public", principal_args_.public_file, "FILE", "The public string that `identity new` printed")
        ->required();
    text(added, "--role", principal_args_.role, "ROLE", "owner administrator officer analyst auditor service")
        ->required();
    text(added, "--grant", principal_args_.grants, "C,...", "Compartments to grant at once");
    added.add_flag("--may-grant", principal_args_.may_grant, "May grant these compartments to others");
    text(added, "--expires", principal_args_.expires, "DATE", "These grants end on DATE (YYYY-MM-DD, at 0:00 UTC)");
    text(added, "--unit", principal_args_.unit, "U", "The unit it belongs to");
    text(added, "--functional-role", principal_args_.functional_roles, "R,...",
         "Roles of the schema that its rules name");
    text(added, "--invitation", principal_args_.invitation, "FILE",
         "Where the invitation goes; default standard output");
    command(principal, "list", "Principals with roles and grants", principal_list);
    CLI::App& rekeyed =
        command(principal, "rekey", "Replaces the keys of the identity that runs it by a new identity's",
                [this](Context& c) { return principal_rekey(c, rekey_args_); });
    text(rekeyed, "--public", rekey_args_.public_file, "FILE", "Public string of a new identity of the same name")
        ->required();
    text(rekeyed, "--invitation", rekey_args_.invitation, "FILE",
         "Where the invitation for the new identity goes; default standard output");
    CLI::App& revoked = command(principal, "revoke", "Puts a principal out, at once, and opens successor epochs",
                                [this](Context& c) { return principal_revoke(c, revoke_args_); });
    text(revoked, "NAME", revoke_args_.name, "", "The principal")->required();

    CLI::App& grant = group("grant", "Who may open which compartment");
    CLI::App& granted =
        command(grant, "add", "Grants compartments", [this](Context& c) { return grant_add(c, grant_args_); });
    text(granted, "NAME", grant_args_.name, "", "The principal")->required();
    texts(granted, "COMPARTMENT", grant_args_.compartments, "", "Compartments")->required();
    granted.add_flag("--may-grant", grant_args_.may_grant, "May grant them to others");
    text(granted, "--expires", grant_args_.expires, "DATE", "Ends on DATE (YYYY-MM-DD, at 0:00 UTC)");
    CLI::App& taken = command(grant, "revoke", "Takes compartments back and opens their successor epochs",
                              [this](Context& c) { return grant_revoke(c, grant_args_); });
    text(taken, "NAME", grant_args_.name, "", "The principal")->required();
    texts(taken, "COMPARTMENT", grant_args_.compartments, "", "Compartments")->required();
  }

  void report_commands() {
    CLI::App& report = group("report", "Numbers that may be published, and what was");
    CLI::App& table = command(report, "table", "A cross table in which no small cell shows, nor can be worked out",
                              [this](Context& c) { return report_table(c, report_table_args_); });
    ReportTableArguments& t = report_table_args_;
    text(table, "TYPE", t.type, "", "A record type of the schema")->required();
    text(table, "--rows", t.rows, "F", "A coded field, or a date: FIELD:year (default) or FIELD:month")->required();
    text(table, "--columns", t.columns, "G", "Likewise; default: the rows alone");
    texts(table, "--where", t.where, "FIELD=VALUE", "Only these records; FIELD=FROM..TO for dates and numbers")
        ->allow_extra_args(false);
    text(table, "--era", t.era, "", "Places as recorded, or in the units of 2024 or 2025")
        ->check(CLI::IsMember({"recorded", "2024", "2025"}));
    text(table, "--min-cell", t.min_cell, "N", "Counts below N are hidden; default and least: min_cell of the purpose");
    text(table, "--round-to", t.round_to, "N", "Instead: every count to the nearest multiple of N");
    text(table, "--out", t.out, "FILE", "Also writes a .csv, or an .html page with bars");
    text(table, "--name", t.name, "NAME", "What the ledger calls it");
    text(table, "--purpose", t.purpose, "P", "One that publishes; default: statistics");
    text(table, "--basis", t.basis, "B", "The legal basis; default: that of the purpose");
    text(table, "--to", t.to, "RECIPIENT", "Who receives it, in words; default: published");
    CLI::App& indicators =
        command(report, "indicators", "The indicators of the schema over a period, under the same rule",
                [this](Context& c) { return report_indicators(c, report_indicators_args_); });
    ReportIndicatorsArguments& i = report_indicators_args_;
    text(indicators, "--from", i.from, "D", "Begin: YYYY, YYYY-MM or YYYY-MM-DD")->required();
    text(indicators, "--to", i.until, "D", "End, itself included")->required();
    text(indicators, "--min-cell", i.min_cell, "N",
         "Counts below N are hidden; default and least: min_cell of the purpose");
    text(indicators, "--only", i.only, "NAME,...", "These indicators; default: all");
    text(indicators, "--era", i.era, "", "Places as recorded, or in the units of 2024 or 2025")
        ->check(CLI::IsMember({"recorded", "2024", "2025"}));
    text(indicators, "--out", i.out, "FILE", "Also writes a .csv, or an .html page with bars");
    text(indicators, "--purpose", i.purpose, "P", "One that publishes; default: statistics");
    text(indicators, "--basis", i.basis, "B", "The legal basis; default: that of the purpose");
    text(indicators, "--recipient", i.to, "RECIPIENT", "Who receives it, in words; default: published");
    command(report, "ledger", "What was published: definitions, no counts", report_ledger);
    CLI::App& budget = command(report, "budget", "Records the privacy budget that a tool outside has spent",
                               [this](Context& c) { return report_budget(c, report_budget_args_); });
    text(budget, "TOOL", report_budget_args_.tool, "", "Which tool")->required();
    text(budget, "--epsilon", report_budget_args_.epsilon, "E", "How much, e.g. 0.5")->required();
    text(budget, "--name", report_budget_args_.name, "NAME", "Of what was published")->required();
    text(budget, "--purpose", report_budget_args_.purpose, "P", "Default: statistics");

    CLI::App& rows =
        command(app_, "export", "Writes columns of a type to a file, under one entry; with --release coarser",
                [this](Context& c) { return export_rows(c, export_args_); });
    ExportArguments& e = export_args_;
    text(rows, "TYPE", e.type, "", "A record type of the schema")->required();
    text(rows, "--columns", e.columns, "F,G", "Fields; for a release dates as FIELD:year (default), :month or :exact")
        ->required();
    text(rows, "--out", e.out, "FILE", "A new .csv or .jsonl file")->required();
    text(rows, "--purpose", e.purpose, "P", "A purpose of the schema; for a release one that publishes")->required();
    text(rows, "--basis", e.basis, "B", "The legal basis")->required();
    text(rows, "--to", e.to, "RECIPIENT", "Who receives it, in words");
    text(rows, "--to-class", e.to_class, "CLASS", "The recipient's class, which rules match");
    CLI::Option* const release = text(rows, "--release", e.release, "NAME",
                                      "Coarser, in groups of --k, shuffled, under pseudonyms, and in the ledger");
    texts(rows, "--where", e.where, "FIELD=VALUE", "Release: only these records; FIELD=FROM..TO for dates and numbers")
        ->allow_extra_args(false)
        ->needs(release);
    text(rows, "--k", e.k, "N",
         "Release: least number of rows that look alike; default and least: min_cell of the purpose")
        ->needs(release);
    text(rows, "--sensitive", e.sensitive, "F,G",
         "Release: fields that nobody knows otherwise, of those that the schema calls sensitive")
        ->needs(release);
    text(rows, "--distinct", e.distinct, "L", "Release: different values of these in each group; from 2, the default")
        ->needs(release);
    rows.add_flag("--star", e.star, "Release: stars values of small groups before rows are left out")->needs(release);
    texts(rows, "--bands", e.bands, "FIELD=N,N", "Release: numbers, or ages of dates of birth, in bands that begin so")
        ->allow_extra_args(false)
        ->needs(release);
    text(rows, "--age-on", e.age_on, "DATE", "Release: the day that ages are of")->needs(release);
    text(rows, "--era", e.era, "", "Release: places as recorded, or in the units of 2024 or 2025")
        ->check(CLI::IsMember({"recorded", "2024", "2025"}))
        ->needs(release);
  }

  Result<int> show_topic() {
    const CLI::App* at = &app_;
    std::string above;
    for (const std::string& word : topic_) {
      const auto below = at->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == word; });
      if (below.empty()) return Error{ErrorCode::kUsage, "there is no help on that; see: casevault help"};
      above += (above.empty() ? "" : " ") + at->get_name();
      at = below.front();
    }
    app_.clear();  // else the help of the command that is running would be shown
    return show(at->help(above));
  }

  CLI::App app_;
  Context context_;
  Work chosen_;
  InitArguments init_args_;
  DoctorArguments doctor_args_;
  RevokeArguments revoke_args_;
  KeyRotateArguments key_rotate_args_;
  KeyReencryptArguments key_reencrypt_args_;
  KeyDestroyArguments key_destroy_args_;
  KeyRetireArguments key_retire_args_;
  RekeyArguments rekey_args_;
  SchemaCheckArguments check_args_;
  AcceptArguments accept_args_;
  AddArguments add_args_;
  UpdateArguments update_args_;
  ListArguments list_args_;
  HistoryArguments history_args_;
  DuplicatesArguments duplicates_args_;
  MergeArguments merge_args_;
  ImportArguments import_args_;
  DiscloseArguments disclose_args_;
  FindArguments find_args_;
  AuditLogArguments log_args_;
  ProveArguments prove_args_;
  CheckpointArguments checkpoint_args_;
  ReceiptArguments receipt_args_;
  IdentityNewArguments new_args_;
  IdentityShowArguments show_args_;
  SlotAddArguments slot_add_args_;
  SlotRemoveArguments slot_remove_args_;
  SlotListArguments slot_list_args_;
  SplitArguments split_args_;
  PrincipalAddArguments principal_args_;
  GrantArguments grant_args_;
  ReportTableArguments report_table_args_;
  ReportIndicatorsArguments report_indicators_args_;
  ReportBudgetArguments report_budget_args_;
  ExportArguments export_args_;
  std::vector<std::string> topic_;
};

}  // namespace
}  // namespace casevault::cli

int main(int argc, char** argv) {
  using namespace casevault;
  cli::prepare_process();
  try {
    cli::Table table;
    return table.run(argc, argv);
  } catch (const std::exception& error) {
    cli::note(std::string("casevault: ") + error.what());
    return exit_code(ErrorCode::kInternal);
  }
}
