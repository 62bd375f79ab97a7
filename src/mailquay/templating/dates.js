// Dates as texts: reading ISO 8601, writing by tokens. Every moment is held in milliseconds since the epoch.
"use strict";
(() => {
  const MINUTE = 60000;
  const DAY = 86400000;
  const LAST = 8.64e15;
  const MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
  ];
  const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
  const ISO = new RegExp(
    "^(\\d{4})" +
      "(?:-?(\\d\\d)(?:-?(\\d\\d))?|-?W(\\d\\d)(?:-?(\\d))?|-?(\\d{3}))?" +
      "(?:[T ](\\d\\d)(?::?(\\d\\d)(?::?(\\d\\d)(?:[.,](\\d{1,9}))?)?)?\\s?(Z|[+-]\\d\\d(?::?\\d\\d)?)?)?$"
  );
  const TOKEN =
    /\[([^[\]]*)\]|LTS|LT|LLLL|LLL|LL|L|YYYY|YY|Q|MMMM|MMM|MM|Mo|M|DDDD|DDD|DD|Do|D|dddd|ddd|dd|d|E|ww|w|WW|W|HH|H|hh|h|kk|k|mm|m|ss|s|SSS|A|a|ZZ|Z|X|x/g;

  const padded = (number, width) => String(number).padStart(width, "0");
  const ordinal = (n) => {
    const teen = n % 100 > 10 && n % 100 < 14;
    return n + ((teen ? undefined : { 1: "st", 2: "nd", 3: "rd" }[n % 10]) ?? "th");
  };
  const midnight = (year, month, day) => {
    const date = new Date(0);
    date.setUTCFullYear(year, month, day);
    return date.getTime();
  };
  const dayOfYear = (date) => Math.floor((date.getTime() - midnight(date.getUTCFullYear(), 0, 1)) / DAY) + 1;
  // A week belongs to the year of its Thursday (ISO 8601), or of its Saturday where weeks begin on Sundays.
  const weekByDay = (date, days) => Math.floor((dayOfYear(new Date(date.getTime() + days * DAY)) - 1) / 7) + 1;
  const isoWeekday = (date) => date.getUTCDay() || 7;
  const isoWeek = (date) => weekByDay(date, 4 - isoWeekday(date));
  const sundayWeek = (date) => weekByDay(date, 6 - date.getUTCDay());

  const offsetOf = (text) => {
    if (text === undefined || text === "Z") return 0;
    const minutes = Number(text.slice(1, 3)) * 60 + Number(text.slice(3).replace(":", ""));
    return text[0] === "-" ? -minutes : minutes;
  };

  // The day that a date names, as its midnight; NaN when there is no such day.
  const dayNamed = (year, month, day, week, weekday, nth) => {
    if (week !== undefined) {
      const fourth = new Date(midnight(year, 0, 4));
      const monday = fourth.getTime() - (isoWeekday(fourth) - 1) * DAY;
      const found = monday + ((week - 1) * 7 + (weekday ?? 1) - 1) * DAY;
      const valid = isoWeek(new Date(found)) === week && (weekday === undefined || (weekday >= 1 && weekday <= 7));
      return valid ? found : NaN;
    }
    if (nth !== undefined) {
      const found = midnight(year, 0, nth);
      return nth >= 1 && new Date(found).getUTCFullYear() === year ? found : NaN;
    }
    const found = midnight(year, (month ?? 1) - 1, day ?? 1);
    return new Date(found).getUTCMonth() === (month ?? 1) - 1 && (day ?? 1) >= 1 ? found : NaN;
  };

  const readText = (text) => {
    const found = text.length <= 64 ? ISO.exec(text.trim()) : null;
    if (found === null) return NaN;
    const number = (n) => (found[n] === undefined ? undefined : Number(found[n]));
    const start = dayNamed(number(1), number(2), number(3), number(4), number(5), number(6));
    const hour = number(7) ?? 0;
    const minute = number(8) ?? 0;
    const second = number(9) ?? 0;
    const milliseconds = Math.floor(Number(`0.${found[10] ?? 0}`) * 1000 + 1e-9);
    const isEndOfDay = hour === 24 && minute === 0 && second === 0 && milliseconds === 0;
    if ((hour > 23 && !isEndOfDay) || minute > 59 || second > 59) return NaN;
    return start + ((hour * 60 + minute - offsetOf(found[11])) * 60 + second) * 1000 + milliseconds;
  };

  const read = (value, now) => {
    if (value === undefined || value === null) return now;
    if (typeof value === "number") return Math.trunc(value);
    if (value instanceof Date) return value.getTime();
    return typeof value === "string" ? readText(value) : NaN;
  };

  const readOffset = (value) => {
    if (typeof value === "number" && Number.isFinite(value)) return Math.trunc(value);
    if (typeof value !== "string") return 0;
    const text = value.trim();
    if (/^(?:Z|[+-]\d\d(?::?\d\d)?)$/.test(text)) return offsetOf(text);
    return /^[+-]?\d{1,4}$/.test(text) ? Number(text) : 0;
  };

  const writers = {
    YYYY: (d) => (d.getUTCFullYear() > 9999 ? "+" : "") + padded(d.getUTCFullYear(), 4),
    YY: (d) => padded(d.getUTCFullYear() % 100, 2),
    Q: (d) => Math.floor(d.getUTCMonth() / 3) + 1,
    MMMM: (d) => MONTHS[d.getUTCMonth()],
    MMM: (d) => MONTHS[d.getUTCMonth()].slice(0, 3),
    MM: (d) => padded(d.getUTCMonth() + 1, 2),
    M: (d) => d.getUTCMonth() + 1,
    Mo: (d) => ordinal(d.getUTCMonth() + 1),
    DDDD: (d) => padded(dayOfYear(d), 3),
    DDD: dayOfYear,
    DD: (d) => padded(d.getUTCDate(), 2),
    D: (d) => d.getUTCDate(),
    Do: (d) => ordinal(d.getUTCDate()),
    dddd: (d) => WEEKDAYS[d.getUTCDay()],
    ddd: (d) => WEEKDAYS[d.getUTCDay()].slice(0, 3),
    dd: (d) => WEEKDAYS[d.getUTCDay()].slice(0, 2),
    d: (d) => d.getUTCDay(),
    E: isoWeekday,
    ww: (d) => padded(sundayWeek(d), 2),
    w: sundayWeek,
    WW: (d) => padded(isoWeek(d), 2),
    W: isoWeek,
    HH: (d) => padded(d.getUTCHours(), 2),
    H: (d) => d.getUTCHours(),
    hh: (d) => padded(d.getUTCHours() % 12 || 12, 2),
    h: (d) => d.getUTCHours() % 12 || 12,
    kk: (d) => padded(d.getUTCHours() || 24, 2),
    k: (d) => d.getUTCHours() || 24,
    mm: (d) => padded(d.getUTCMinutes(), 2),
    m: (d) => d.getUTCMinutes(),
    ss: (d) => padded(d.getUTCSeconds(), 2),
    s: (d) => d.getUTCSeconds(),
    SSS: (d) => padded(d.getUTCMilliseconds(), 3),
    A: (d) => (d.getUTCHours() < 12 ? "AM" : "PM"),
    a: (d) => (d.getUTCHours() < 12 ? "am" : "pm"),
    Z: (d, offset) => zone(offset, ":"),
    ZZ: (d, offset) => zone(offset, ""),
    X: (d, offset) => Math.floor((d.getTime() - offset * MINUTE) / 1000),
    x: (d, offset) => d.getTime() - offset * MINUTE,
    L: (d, offset) => write(d, "MM/DD/YYYY", offset),
    LL: (d, offset) => write(d, "MMMM D, YYYY", offset),
    LLL: (d, offset) => write(d, "MMMM D, YYYY h:mm A", offset),
    LLLL: (d, offset) => write(d, "dddd, MMMM D, YYYY h:mm A", offset),
    LT: (d, offset) => write(d, "h:mm A", offset),
    LTS: (d, offset) => write(d, "h:mm:ss A", offset),
  };
  const zone = (offset, colon) => {
    const minutes = Math.abs(offset);
    return `${offset < 0 ? "-" : "+"}${padded(Math.floor(minutes / 60), 2)}${colon}${padded(minutes % 60, 2)}`;
  };
  // `d` is shifted, so that its UTC fields are those of the zone.
  const write = (d, format, offset) =>
    format.replace(TOKEN, (token, literal) => (literal === undefined ? String(writers[token](d, offset)) : literal));

  globalThis.formatDate = (value, format, offsetGiven, now) => {
    const moment = read(value, now);
    const offset = readOffset(offsetGiven);
    const shifted = moment + offset * MINUTE;
    if (!(Math.abs(moment) <= LAST && Math.abs(shifted) <= LAST)) return "Invalid date";
    return write(new Date(shifted), typeof format === "string" ? format : "YYYY-MM-DDTHH:mm:ssZ", offset);
  };
})();
