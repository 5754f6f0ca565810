"""Texts, queries, and the expected results: no query shares a content word with its text."""

TEXTS = [
    "The cat slept on the windowsill all afternoon.",
    "Simmer the tomatoes with garlic until the sauce thickens.",
    "The central bank raised its interest rate by half a point.",
    "A new vaccine protects infants against the virus.",
    "The goalkeeper saved two penalties in the final.",
    "Water boils at a lower temperature on a high mountain.",
    "The train to Vienna leaves from platform seven at noon.",
    "Her first novel tells the story of three sisters in a fishing village.",
    "The telescope photographed a galaxy twelve billion light years away.",
    "Change the oil of your car every ten thousand miles.",
    "The orchestra opened the evening with a Mozart symphony.",
    "Prune apple trees in late winter, before the buds open.",
    "The program crashed because it divided by zero.",
    "The castle was besieged for eleven months in the fourteenth century.",
    "Regular exercise lowers the blood pressure.",
    "The glaciers of the Alps have lost half of their ice since 1900.",
    "The court ruled that the contract was void.",
    "Neural networks learn by following the gradient of their error downhill.",
    "Bees tell each other by dancing where the flowers are.",
    "The ferry was cancelled because of the storm.",
]

QUERIES = {
    "a pet taking a nap": 0,
    "recipe for pasta": 1,
    "monetary policy": 2,
    "soccer": 4,
    "When does my railway journey start?": 6,
    "astronomy": 8,
    "There is a bug in my software.": 12,
    "effects of global warming": 15,
    "How are machines trained?": 17,
    "how insects communicate": 18,
}
