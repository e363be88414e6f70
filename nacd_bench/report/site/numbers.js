"use strict";
// How the pages write numbers; nacd_bench/numbers.py is the same for everything else.

// four significant digits of a value of any size
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  return String(Number(Number(value).toPrecision(4)));
}

// three decimals of a share, and more where it would read as 0 or 1 and is not
function share(value) {
  if (!Number.isFinite(value)) return "-";
  let decimals = 3;
  while (decimals < 12 && value !== Number(value.toFixed(decimals)) && [0, 1].includes(Number(value.toFixed(decimals)))) decimals += 1;
  return value.toFixed(decimals);
}

// a number as YAML has it
function yamlNumber(value) {
  if (Number.isNaN(value)) return ".nan";
  return Number.isFinite(value) ? String(value) : value > 0 ? ".inf" : "-.inf";
}
