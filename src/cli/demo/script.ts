import type { DemoUsername } from '../../server/demo/people.ts';

/** A message of the script: sender and text. Slots such as `{plant}` are replaced by values of `SLOTS`. */
export type ScriptedMessage = readonly [DemoUsername, string];

/** Possible values of each slot. */
export const SLOTS: Record<string, readonly string[]> = {
  plant: [
    'tomatoes',
    'beans',
    'courgettes',
    'lettuces',
    'sunflowers',
    'strawberries',
    'pumpkins',
    'peas',
    'radishes',
    'herbs',
  ],
  tool: ['spade', 'wheelbarrow', 'long hose', 'ladder', 'rake', 'hand drill', 'watering can', 'pruning saw'],
  food: [
    'lentil soup',
    'apple cake',
    'flatbread',
    'potato salad',
    'plum tart',
    'miso soup',
    'borscht',
    'hummus',
    'kimchi pancakes',
  ],
  day: ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'],
  time: ['half past eight', 'nine', 'ten', 'noon', 'two', 'four', 'half past five', 'six'],
  place: [
    'by the shed',
    'at the gate',
    'under the pear tree',
    'next to the pond',
    'at the compost',
    'by the long bench',
  ],
  number: ['three', 'four', 'five', 'six', 'seven', 'eight', 'a dozen'],
  weather: ['rain', 'a storm', 'frost', 'thirty degrees', 'fog', 'wind from the north'],
  animal: ['hedgehog', 'blackbird', 'toad', 'fox', 'bumblebee nest', 'robin', 'pair of ducks'],
};

/** Conversations of the open room, about the garden that the demo users share. */
export const SCENES: readonly (readonly ScriptedMessage[])[] = [
  [
    ['ann', 'Morning all. The {plant} came up overnight!'],
    ['ben', 'Already? I sowed mine a week before you.'],
    ['ann', 'Yours are in the shade. Move them next to the wall.'],
    ['ben', 'Doing it now.'],
    ['daichi', 'いいですね！写真を撮ってもいいですか？'],
    ['ann', 'Of course, they love attention.'],
  ],
  [
    ['ben', 'Has anyone seen the {tool}?'],
    ['chloe', 'I left it {place}.'],
    ['ben', 'Not there any more.'],
    ['olga', 'Я взяла, верну к вечеру. Извините!'],
    ['ben', 'No hurry, thanks Olga.'],
  ],
  [
    ['chloe', 'I am bringing {food} on {day}. How many of us?'],
    ['minjun', '저는 갑니다! 친구 한 명도 데려갈게요.'],
    ['noa', 'אני באה, עם הקפה כמובן'],
    ['ann', 'That makes {number}, I think.'],
    ['chloe', 'Then I make it twice.'],
    ['ben', 'Make it three times, you know us.'],
  ],
  [
    ['olga', 'На завтра обещают дождь и ветер.'],
    ['ann', '{weather}? Then the seedlings go inside tonight.'],
    ['daichi', '手伝います。何時ですか？'],
    ['ann', '{time}, {place}?'],
    ['daichi', 'はい、行きます。'],
    ['minjun', '저도 도와드릴게요.'],
  ],
  [
    ['noa', 'You will not believe it: a {animal} {place}.'],
    ['ben', 'Photo!'],
    ['noa', 'Too quick for me. I made a drawing instead.'],
    ['daichi', 'その絵、見たいです。'],
    ['noa', 'I will hang it in the shed.'],
  ],
  [
    ['minjun', '물은 누가 줄 차례예요?'],
    ['ann', 'Yours today, Chloé on {day}.'],
    ['minjun', '알겠습니다. {time} pm에 갈게요.'],
    ['chloe', 'And please not on the {plant}, they are drowning.'],
    ['minjun', '네!'],
  ],
  [
    ['ben', 'The lock of the gate sticks again.'],
    ['chloe', 'Oil?'],
    ['ben', 'Tried. It wants a new spring. I order one.'],
    ['ann', 'Take it out of the tin, there should be enough.'],
    ['ben', 'There are {number} coins and a button in it.'],
    ['ann', 'The button was me.'],
  ],
  [
    ['daichi', 'おはようございます。今日は何を植えますか？'],
    ['ann', 'The last {plant}, if there is room.'],
    ['daichi', '池の横に少しあります。'],
    ['ann', 'Perfect.'],
  ],
  [
    ['olga', 'Кто-нибудь хочет семена? У меня слишком много: {plant}.'],
    ['ben', 'Me please.'],
    ['noa', 'וגם אני, תודה!'],
    ['olga', 'Оставлю в сарае, на полке слева.'],
  ],
  [
    ['chloe', 'Who ate the whole {food}?'],
    ['ben', 'It was like this when I came.'],
    ['noa', 'Ben, there are crumbs on your jacket.'],
    ['ben', 'I plead hunger.'],
    ['chloe', 'I take it as a compliment.'],
  ],
  [
    ['ann', 'Meeting on {day} at {time}: the fence, the water bill, the summer party.'],
    ['olga', 'Буду.'],
    ['minjun', '저는 조금 늦을 것 같아요.'],
    ['ben', 'Can we begin with the party?'],
    ['ann', 'We can end with it.'],
  ],
  [
    ['noa', 'Does anyone know what eats the leaves of the {plant}?'],
    ['ann', 'Holes in the middle or at the edges?'],
    ['noa', 'Edges.'],
    ['ann', 'Snails then. Go out with a lamp after dark.'],
    ['noa', 'Romantic.'],
    ['ben', 'Bring a bucket.'],
  ],
  [
    ['ben', 'Finished the bench. It carries {number} people, tested.'],
    ['chloe', 'Tested how?'],
    ['ben', 'With flower pots of the same weight.'],
    ['minjun', '멋지다! 내일 앉아 볼게요.'],
  ],
  [
    ['daichi', '今朝、{animal} を見ました！'],
    ['chloe', 'Where?'],
    ['daichi', '梨の木の下です。静かに座っていました。'],
    ['olga', 'Как мило.'],
  ],
  [
    ['ann', 'Could somebody take my watering on {day}? I am away.'],
    ['olga', 'Я могу.'],
    ['ann', 'Thank you! Take all the {plant} that you like.'],
    ['olga', 'Договорились 🍓'],
  ],
  [
    ['minjun', '오늘 저녁에 기타 가져갈까요?'],
    ['noa', 'כן! בבקשה'],
    ['chloe', 'Only if you play the one about the rain.'],
    ['minjun', '그럼 비가 올지도 몰라요.'],
    ['ben', 'The {plant} would thank you.'],
  ],
  [
    ['chloe', 'The compost is warm. Put your hand on it.'],
    ['ben', 'I believe you without.'],
    ['ann', 'Sixty degrees! It will be ready by autumn.'],
  ],
  [
    ['noa', 'We have {number} jars left. Who needs some?'],
    ['chloe', 'Me, for the jam.'],
    ['olga', 'И мне парочку.'],
    ['noa', 'They are {place}.'],
  ],
];

/** Messages of the group room. */
export const KITCHEN: readonly ScriptedMessage[] = [
  ['chloe', 'This is where we plan the Friday kitchen. Say what you bring.'],
  ['minjun', '저는 김치전을 만들게요.'],
  ['ann', 'Salad, from the garden.'],
  ['noa', 'חומוס ופיתות'],
  ['chloe', 'And I bake. It will be enough for everyone.'],
  ['ann', 'It was never not enough.'],
];

/** Messages of the direct room of ann and ben. */
export const ANN_AND_BEN: readonly ScriptedMessage[] = [
  ['ann', 'Is my bike ready?'],
  ['ben', 'Nearly. The chain was older than the bike.'],
  ['ann', 'How is that possible?'],
  ['ben', 'I have been asking myself the same.'],
  ['ann', 'I need it on Friday.'],
  ['ben', 'You have it on Thursday.'],
];

/** Messages of the direct room of ann and daichi. */
export const ANN_AND_DAICHI: readonly ScriptedMessage[] = [
  ['daichi', '写真、送りますね。'],
  ['ann', 'The one with the sunflowers?'],
  ['daichi', 'はい。朝の光がきれいでした。'],
  ['ann', 'It is beautiful. ありがとう！'],
];
