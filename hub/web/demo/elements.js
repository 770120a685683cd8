// Small things that every part of the page needs: elements, what is said to the person, one press at a time.

export const $ = (id) => document.getElementById(id);

// An element with properties and those children that are there; texts are texts, never markup.
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter(Boolean));
  return made;
}

// English with its Chinese label.
export function label(english, chinese) {
  return [`${english} `, element('span', { lang: 'zh', textContent: chinese })];
}

// A button that is dead while its work is under way; what goes wrong is told.
export function button(words, work, properties = {}) {
  const made = element('button', { type: 'button', ...properties }, ...words);
  made.addEventListener('click', () => during(made, work));
  return made;
}

async function during(pressed, work) {
  pressed.disabled = true;
  await told(work);
  pressed.disabled = false;
}

export async function told(work) {
  say('');
  try {
    return await work();
  } catch (error) {
    say(error.message);
  }
}

export function say(text) {
  $('told').textContent = text;
  $('told').hidden = !text;
}

export const short = (hex) => `${hex.slice(0, 6)}…${hex.slice(-4)}`;
