# SPDX-License-Identifier: Apache-2.0
"""Invents a register in which it is known who is recorded twice, who are brothers and sisters, and who are twins. Rows have the
columns of tests/data/registry_vn.csv that tell people apart, and vary as that register's description says.

    people.py SEED COUNT > register.csv        the truth goes to standard error: "same 3 17", "siblings 3 18", "twins 4 9"
"""

import csv
import random
import sys
import unicodedata
from pathlib import Path

LISTS = Path(__file__).resolve().parents[2] / "src/model/codelists"
COLUMNS = ["full_name", "aliases", "sex", "dob", "dob_precision", "nationality", "id_number", "phone", "province_text", "province_code",
           "province_edition", "commune_text", "relatives"]

FAMILIES = (["Nguyễn"] * 38 + ["Trần"] * 11 + ["Lê"] * 10 + ["Phạm"] * 7 + ["Hoàng"] * 3 + ["Huỳnh"] * 3 + ["Phan"] * 4 + ["Vũ"] * 2
            + ["Võ"] * 2 + ["Đặng"] * 2 + ["Bùi"] * 2 + ["Đỗ"] * 2 + ["Hồ", "Ngô", "Dương", "Lý", "Đinh", "Trương", "Mai", "Tạ", "Hà"])
WOMEN = "Hoa Hòa Lan Huệ Mai Ly Lý Thu Hương Hằng Hạnh Nga Ngọc Linh Loan Thảo Trang Trinh Tuyết Yến Oanh Dung Thúy Thùy Vân Vy Nhung \
Nguyệt Phượng Quỳnh Thương Thắm Tiên Trâm Uyên Xuân Ánh Bích Chi Diễm Đào Giang Hiền Khánh Lệ Liên Mỹ Ngân Nhi Như Phúc Quyên Sen Tú".split()
MEN = "An Anh Bình Cường Công Dũng Duy Đạt Đức Hải Hiếu Hòa Hùng Huy Khang Khoa Kiên Lâm Long Lộc Mạnh Minh Nam Nghĩa Nhân Phát Phong \
Phú Phúc Phước Quân Quang Quốc Quý Sơn Tài Tâm Tân Thái Thành Thắng Thịnh Thọ Tiến Toàn Trí Trung Tú Tuấn Tùng Tường Việt Vinh Vũ".split()
MIDDLE = {"female": ["Thị"] * 12 + ["Ngọc", "Thu", "Hồng", "Kim", "Thanh", "Mỹ", "Minh", "Thị Kim", "Thị Ngọc", "Thị Thu", "Diệu", ""],
          "male": ["Văn"] * 10 + ["Đức", "Hữu", "Minh", "Quang", "Quốc", "Thanh", "Tuấn", "Công", "Xuân", ""]}
OTHERS = [("Lò Lường Quàng Tòng Cà Lèo".split(), {"female": ["Thị"], "male": ["Văn"]},
           {"female": "Pâng Hiêng Inh Ín Lả Ơn Ươi Piêng Sương Thía".split(), "male": "Bun Hặc Khăm Pọm Phanh Pho Tướng Ún Ọi Panh".split()}),
          ("Vàng Sùng Giàng Thào Lầu Vừ Má Hờ Cứ Tráng".split(), {"female": ["Thị", "Y"], "male": ["A", "Seo", "Bá"]},
           {"female": "Chở Chá Chư Dính Dợ Gầu Mào Mỷ Máy Say Sua Xia".split(), "male": "Chu Dế Giống Khua Lử Nhà Páo Sình Sử Tồng Của".split()}),
          (["Kpă", "Ksor", "Rmah", "Nay", "Puih"], {"female": [""], "male": [""]},
           {"female": ["H'Hen", "H'Blô", "H'Uyên", "H'Rosa", "H'Đi"], "male": ["Tuân", "Kơl", "Djoan", "Thuật", "Hyin", "Djan"]})]
HOME = ["Tý", "Út", "Bống", "Mận", "Na", "Cò", "Bin", "Nhím", "Gái", "Sóc", "Bé Ba", "Tí Em", "Cu Tèo"]
GIVEN_BY_OTHERS = ["Anna", "Kelly", "Mei Mei", "A Linh", "Kevin", "Jack", "Tony", "A Long", "Xiao Mei"]
COMMUNES = ["Tân", "Phú", "Bình", "An", "Hòa", "Mỹ", "Thạnh", "Đông", "Yên", "Nậm", "Mường", "Sơn", "Vĩnh", "Long", "Hưng", "Quang"]
COMMUNE_ENDS = ["Thành", "Lộc", "Hưng", "Phong", "Xuân", "Hội", "Trung", "Sơn", "Lợi", "Giang", "Thủy", "Châu", "Khánh", "Hà", "Minh", "Tiến"]
HEADS = "090 091 093 094 096 097 098 086 088 089 070 079 077 076 078 083 084 085 081 082 032 033 034 035 036 037 038 039 056 058 059".split()


def read(name):
    with open(LISTS / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


PROVINCES = read("vn_province_mergers")
OLD_HEAD = {row["new_prefix"]: row["old_prefix"] for row in read("vn_phone_prefix_2018")}


def plain(text):
    text = text.replace("đ", "d").replace("Đ", "D")
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def telex(text):
    marks = {"\u0302": None, "\u0306": "w", "\u031b": "w", "\u0301": "s", "\u0300": "f", "\u0309": "r", "\u0303": "x", "\u0323": "j"}
    out = []
    for word in text.split():
        tone, letters = "", ""
        for c in unicodedata.normalize("NFD", word.replace("đ", "dd").replace("Đ", "Dd")):
            if c in "\u0301\u0300\u0309\u0303\u0323":
                tone = marks[c]
            elif c == "\u0302":
                letters += letters[-1].lower()
            else:
                letters += marks.get(c) or c
        out.append(letters + tone)
    return " ".join(out)


OTHER_STYLE = {"hòa": "hoà", "hóa": "hoá", "thúy": "thuý", "thùy": "thuỳ", "thủy": "thuỷ", "quý": "quí", "mỹ": "mĩ", "lý": "lí"}


class Inventor:
    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.phones = 0

    def pick(self, values):
        return self.chance.choice(values)

    def maybe(self, probability):
        return self.chance.random() < probability

    def new_phone(self):
        self.phones += 1
        return self.pick(HEADS) + "000" + f"{self.phones % 10000:04d}"

    def write_phone(self, number):
        forms = [number, f"{number[:4]} {number[4:7]} {number[7:]}", f"{number[:4]}.{number[4:7]}.{number[7:]}", "+84" + number[1:],
                 f"+84 (0) {number[1:4]}-{number[4:7]}-{number[7:]}", "0084" + number[1:], "84" + number[1:], number[1:], "O" + number[1:],
                 number + " (số của mẹ)", number + " - gọi sau 20h", "ĐT: " + number]
        if number[:3] in OLD_HEAD:
            forms += [OLD_HEAD[number[:3]] + number[3:]] * 3
        return self.pick(forms[:6] if self.maybe(0.7) else forms)

    def birthday(self, first=1975, last=2012):
        return self.chance.randint(first, last), self.chance.randint(1, 12), self.chance.randint(1, 28)

    def name(self, sex, people, family=None):
        families, middles, givens = people
        family = family or self.pick(families)
        return " ".join(f"{family} {self.pick(middles[sex])} {self.pick(givens[sex])}".split())

    def person(self):
        sex = self.pick(["female", "female", "female", "male"])
        people = (FAMILIES, MIDDLE, {"female": WOMEN, "male": MEN}) if self.maybe(0.7) else self.pick(OTHERS)
        name = self.name(sex, people)
        out = {"people": people, "sex": sex, "name": name, "born": self.birthday(), "province": self.pick(PROVINCES),
               "commune": f"{self.pick(COMMUNES)} {self.pick(COMMUNE_ENDS)}", "district": f"{self.pick(COMMUNES)} {self.pick(COMMUNE_ENDS)}",
               "phone": self.new_phone() if self.maybe(0.85) else None, "aliases": [], "nationality": "VNM"}
        family = name.split()[0]
        kin = [("bố", self.name("male", people, family)), ("mẹ", self.name("female", people)), ("chị gái", self.name("female", people, family)),
               ("anh trai", self.name("male", people, family)), ("dì", self.name("female", people))]
        out["relatives"] = [(who, relation, self.new_phone() if self.maybe(0.6) else None)
                            for relation, who in self.chance.sample(kin, self.pick([0, 1, 1, 1, 2, 2, 3]))]
        if self.maybe(0.2):
            out["aliases"].append("tên gọi ở nhà: " + self.pick(HOME))
        if self.maybe(0.1):
            out["aliases"].append("tên do chủ đặt: " + self.pick(GIVEN_BY_OTHERS))
        if self.maybe(0.04):
            out["aliases"].append("tên trên giấy tờ giả: " + self.name(sex, (FAMILIES, MIDDLE, {"female": WOMEN, "male": MEN})))
        self.give_document(out)
        return out

    def give_document(self, person):
        year, female = person["born"][0], person["sex"] == "female"
        kind = self.chance.random()
        digit = (0 if year < 2000 else 2) + (1 if female else 0)
        person["cccd"] = f"0{person['province']['old_code']}{digit}{year % 100:02d}9{self.chance.randint(0, 99999):05d}"
        person["cmnd"] = f"9{self.chance.randint(0, 99999999):08d}"
        person["document"] = person["cccd"] if kind < 0.6 else person["cmnd"] if kind < 0.75 else None

    def sibling(self, person, twin):
        out = dict(self.person())
        sex = out["sex"]
        out.update({key: person[key] for key in ("people", "province", "commune", "district")}, aliases=[])
        family, *rest = person["name"].split()
        while True:
            out["name"] = self.name(sex, person["people"], family)
            if sex == person["sex"] and self.maybe(0.4):  # brothers and sisters often share the middle name
                out["name"] = " ".join([family, *rest[:-1], self.pick(person["people"][2][sex])])
            if plain(out["name"]) != plain(person["name"]):
                break
        year, month, day = person["born"]
        out["born"] = person["born"] if twin else (year + self.pick([-6, -4, -3, -2, -1, 1, 2, 3, 4, 6]), *self.birthday()[1:])
        out["relatives"] = [r for r in person["relatives"] if r[1] in ("bố", "mẹ", "dì")]
        if self.maybe(0.3):
            out["relatives"].append((person["name"], "chị gái" if person["sex"] == "female" else "anh trai", person["phone"]))
        if self.maybe(0.5):
            out["phone"] = person["phone"]
        self.give_document(out)
        return out

    def write_name(self, name):
        kind = self.chance.random()
        if kind < 0.06:
            return name.upper()
        if kind < 0.18:
            return plain(name)
        if kind < 0.22:
            return unicodedata.normalize("NFD", name)
        if kind < 0.25:
            return name.replace(" ", self.pick(["  ", "\u00a0", " \u200b"]), 1)
        if kind < 0.28:
            return name.replace("Đ", "\u00d0").replace("'", "\u2019")
        if kind < 0.36:
            return " ".join(OTHER_STYLE.get(w.lower(), w).title() if w.lower() in OTHER_STYLE else w for w in name.split())
        return name

    def other_name(self, person):
        """What another office takes down."""
        name, words = person["name"], person["name"].split()
        kind = self.chance.random()
        if kind < 0.40:
            return name
        if kind < 0.52:
            return plain(name)
        if kind < 0.62 and len(words) > 2:
            return " ".join([words[0], words[-1]])
        if kind < 0.68 and words[0] in ("Hoàng", "Huỳnh", "Vũ", "Võ"):
            return " ".join([{"Hoàng": "Huỳnh", "Huỳnh": "Hoàng", "Vũ": "Võ", "Võ": "Vũ"}[words[0]], *words[1:]])
        if kind < 0.76:
            return name[:-1] if len(words[-1]) > 2 else name
        if kind < 0.82:
            at = self.chance.randrange(1, len(name) - 1)
            return name[:at] + name[at + 1] + name[at] + name[at + 2:] if " " not in name[at:at + 2] else name
        if kind < 0.86:
            return " ".join(words[:-2] + [words[-2] + words[-1].lower()])
        if kind < 0.90:
            return " ".join(reversed(words))
        if kind < 0.94:
            return telex(name)
        if kind < 0.98 and person["aliases"]:
            return person["aliases"][-1].split(": ")[1]
        return name

    def write_birth(self, born):
        year, month, day = born
        kind = self.chance.random()
        if kind < 0.75:
            return f"{year}-{month:02d}-{day:02d}", "day"
        if kind < 0.81:
            return f"{year}-{month:02d}", "month"
        if kind < 0.94:
            return f"{year}", "year"
        if kind < 0.97:
            return f"{year + self.pick([-1, 0, 1])}", "estimated"
        return "", "unknown"

    def other_birth(self, born):
        year, month, day = born
        kind = self.chance.random()
        if kind < 0.06 and day <= 12:
            return self.write_birth((year, day, month))
        if kind < 0.10:
            return self.write_birth((year, month, day % 10 + (0 if day < 10 or day % 10 == 0 else 10) or 1))
        return self.write_birth(born)

    def write_document(self, number):
        if not number:
            return ""
        if len(number) == 12 and self.maybe(0.02):
            return number[1:]
        spaced = " ".join(number[i:i + 3] for i in range(0, len(number), 3))
        return self.pick([number] * 6 + [spaced, spaced.replace(" ", "."), "CCCD " + number if len(number) == 12 else number])

    def write_place(self, person, edition):
        province = person["province"]
        code, name = (province["new_code"], province["new_name"]) if edition == "2025" else (province["old_code"], province["old_name"])
        text = self.pick([name] * 6 + ["tỉnh " + name, plain(name)])
        if edition == "2025" and province["old_name"] != name and self.maybe(0.2):
            text = f"{name} ({province['old_name']} cũ)"
        commune = self.pick([f"xã {person['commune']}", f"Xã {person['commune']}", f"X. {person['commune']}"])
        if edition == "2024" and self.maybe(0.8):
            commune += self.pick([f", huyện {person['district']}", f", H. {person['district']}"])
        if self.maybe(0.05):
            commune = self.pick(["", "không rõ", "xã vùng biên"])
        return (text, code, edition, commune) if self.maybe(0.96) else (text, "", "", commune)

    def row(self, person, again=False):
        edition = person.setdefault("edition", "2025" if self.maybe(0.2) else "2024")
        if again and self.maybe(0.12):
            edition = "2025"
        birth, precision = (self.other_birth if again else self.write_birth)(person["born"])
        document, phone, relatives, aliases = person["document"], person["phone"], person["relatives"], person["aliases"]
        if again:
            document = self.pick([document] * 9 + [None] * 5 + [person["cmnd"], person["cccd"], person["cmnd"]])
            phone = self.pick([phone] * 5 + [None] * 2 + [self.new_phone()] * 3)
            relatives = self.pick([relatives] * 5 + [relatives[:1]] * 3 + [[]] * 2)
            aliases = self.pick([aliases] * 2 + [[]])
        name = self.other_name(person) if again else person["name"]
        text, code, edition, commune = self.write_place(person, edition)
        kin = " | ".join(f"{self.write_name(who)}; {relation}; {self.write_phone(number) if number else ''}" for who, relation, number in relatives)
        return dict(zip(COLUMNS, [self.write_name(name), "; ".join(aliases), person["sex"], birth, precision, person["nationality"],
                                  self.write_document(document), self.write_phone(phone) if phone else "", text, code, edition, commune, kin]))


def register(seed, count):
    """Rows in no order, and the pairs by what they are."""
    inventor = Inventor(seed)
    rows, pairs = [], []
    while len(rows) < count:
        person = inventor.person()
        first = len(rows)
        rows.append(inventor.row(person))
        kind = inventor.chance.random()
        if kind < 0.03:
            rows.append(inventor.row(person, again=True))
            pairs.append(("same", first, len(rows) - 1))
        elif kind < 0.08:
            twin = kind < 0.04
            rows.append(inventor.row(inventor.sibling(person, twin)))
            pairs.append(("twins" if twin else "siblings", first, len(rows) - 1))
    order = list(range(len(rows)))
    inventor.chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    return [rows[old] for old in order], [(kind, *sorted((place[a], place[b]))) for kind, a, b in pairs]


def write(rows, file):
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    made, truth = register(int(sys.argv[1]), int(sys.argv[2]))
    write(made, sys.stdout)
    print("\n".join(" ".join(map(str, pair)) for pair in truth), file=sys.stderr)
